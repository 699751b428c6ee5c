"""A request to stop: SIGTERM or Ctrl-C, heard at once and obeyed between two steps."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any


class StopSignals:
    """Notes the first SIGTERM or SIGINT; a second SIGINT is a KeyboardInterrupt as ever.

    A step that is cut short leaves weights and optimiser half updated, so a run ends between steps.
    Outside the main thread, where Python lets nobody listen, nothing is heard.

    Attributes:
        received: The signal that came, None so far.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def listen(self) -> None:
        """Take over both signals."""
        if self._before or threading.current_thread() is not threading.main_thread():
            return
        for one in (signal.SIGTERM, signal.SIGINT):
            self._before[one] = signal.signal(one, self._note)

    def stop(self) -> None:
        """Give them back."""
        for one, handler in self._before.items():
            signal.signal(one, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received is not None:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
        if number == signal.SIGINT:
            print(
                "\ngraphrise: stopping after this step; Ctrl-C again to stop at once",
                file=sys.stderr,
            )
