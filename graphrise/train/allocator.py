"""Let the C library keep the memory of a step for the next one."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of glibc's malloc.h
_NEVER = 2**31 - 1
_PAD = 64 * 2**20
_LARGEST = 32 * 2**20
"""What every glibc takes as the threshold; newer ones take more."""


def keep_memory() -> bool:
    """Keep freed memory in this process, instead of giving it back at once.

    A training step on a CPU frees its activations and takes as many again. glibc gives large blocks
    back to the kernel, which clears every page of them anew: 2,000 to 6,000 page faults a step of
    a small CNN, a tenth of its time. Afterwards what the process has taken stays with it to its
    end. Other allocators (musl, macOS, Windows, a preloaded jemalloc) are left as they are.

    Returns:
        Whether there was a glibc to tell.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    large = mallopt(_MMAP_THRESHOLD, 2**30) or mallopt(_MMAP_THRESHOLD, _LARGEST)
    return bool(large and mallopt(_TRIM_THRESHOLD, _NEVER) and mallopt(_TOP_PAD, _PAD))
