"""How long training waits for its next batch."""

from __future__ import annotations

import time

from lightning.pytorch.profilers import Profiler


class FetchClock(Profiler):
    """Times the fetch of every batch and nothing else: Lightning's profiler hooks mark it exactly.

    Between the end of a step and the start of the next there are also checkpoints, probes and
    what is done at the end of an epoch; none of them is the loader's fault.

    Attributes:
        begin: When the last fetch began, of `time.perf_counter`.
        waited: Seconds that fetches have taken so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begin = time.perf_counter()
        self.waited = 0.0

    def start(self, action_name: str) -> None:
        """Note when a fetch begins."""
        if action_name.endswith("train_dataloader_next"):
            self.begin = time.perf_counter()

    def stop(self, action_name: str) -> None:
        """Add what it took."""
        if action_name.endswith("train_dataloader_next"):
            self.waited += time.perf_counter() - self.begin
