"""Batches made ahead by a thread, so that the encoder does not wait for them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


class _Failed:
    def __init__(self, error: BaseException) -> None:
        self.error = error


class _End:
    pass


def ahead(source: Callable[[], Iterable[T]], depth: int) -> Iterator[T]:
    """The items of `source()`, in order, up to `depth` of them made before they are asked for.

    Args:
        source: Called in the thread that iterates over what it gives.
        depth: At least 1.

    Raises:
        BaseException: Whatever `source` or its items raise, where the item would have been.
    """
    items: queue.Queue[T | _Failed | _End] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def put(item: T | _Failed | _End) -> bool:
        while not stopped.is_set():
            try:
                items.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in source():
                if not put(item):
                    return
            put(_End())
        except BaseException as error:
            put(_Failed(error))

    thread = threading.Thread(target=work, name="graphrise-batches", daemon=True)
    thread.start()
    try:
        while True:
            item = items.get()
            if isinstance(item, _End):
                return
            if isinstance(item, _Failed):
                raise item.error
            yield item
    finally:
        # Also where the caller stops early: nobody works on for nothing.
        stopped.set()
        thread.join()
