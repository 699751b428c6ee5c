"""Parts of compiled loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def inlined(part: Callable[..., Any]) -> Callable[..., Any]:
    """Put a function into each loop that calls it.

    numba counts references to the arrays that a call is given, in one place for all threads, which
    then wait for each other at every entry; of its own arrays a loop counts none.
    """
    return numba.njit(inline="always")(part)
