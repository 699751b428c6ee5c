"""What worker processes are started with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

# Read when a worker process starts, before any module of ours is imported there.
# glibc gives large blocks back to the system after every step and takes the page faults anew:
# kept instead, a training step on a CPU core is a tenth to a fifth faster.
_ENVIRONMENT = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    # timm and PyG script functions at import, which torch 2.14 calls deprecated.
    "PYTHONWARNINGS": "ignore:`torch.jit.script` is deprecated:FutureWarning",
}


@contextmanager
def worker_environment() -> Iterator[None]:
    """Set what workers are started with; a user's own values stay, and ours go again."""
    added = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
