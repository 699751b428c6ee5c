"""Backends to try an op with, and Triton kernels compiled for GPUs that are not here."""

import re
from dataclasses import dataclass

import pytest

from graphrise.ops.backend import installed, interpreted

ARCHITECTURES = (80, 90)


def pytest_generate_tests(metafunc):
    """`@pytest.mark.backends("torch", "numba", "triton")`: once for each, on (backend, device).

    Triton's kernels run on a GPU (mark `gpu`), and on the CPU where its interpreter is on:
    tests/ops/triton/test_interpreted.py runs the same cases that way.
    """
    marker = metafunc.definition.get_closest_marker("backends")
    if marker is None:
        return
    params = []
    for name in marker.args:
        if name == "triton":
            params.append(pytest.param(name, "cuda", id="triton-cuda", marks=pytest.mark.gpu))
            if interpreted():
                params.append(pytest.param(name, "cpu", id="triton-interpreted"))
        else:
            params.append(pytest.param(name, "cpu", id=f"{name}-cpu"))
    metafunc.parametrize(("backend", "device"), params)


@dataclass
class Compiled:
    """A kernel's machine code.

    Attributes:
        ptx: Text.
        sass: Text.
    """

    ptx: str
    sass: str

    @property
    def wide_loads(self):
        """Loads of 128 bits from global memory."""
        return len(re.findall(r"\bLDG\.E\.[A-Z0-9.]*128\b", self.sass))

    @property
    def loads(self):
        return len(re.findall(r"\bLDG\.E\b", self.sass))

    @property
    def spills(self):
        """Instructions that move registers to the stack or back."""
        return len(re.findall(r"\b(?:STL|LDL)\b", self.sass))

    @property
    def vector_atomics(self):
        """Atomic additions of several numbers at once (Hopper)."""
        return len(re.findall(r"\bREDG?\.E\.ADD\.(?:F32x[24]|F16x[248]|BF16x[248])", self.sass))

    @property
    def atomics(self):
        return len(re.findall(r"\b(?:REDG?|ATOMG?)\.E\.", self.sass))


def ahead_of_time(kernel, signature, constants, architecture, *, num_warps=4, unaligned=()):
    """Compile a `triton.jit` function for `sm_<architecture>`, without a GPU.

    Args:
        kernel: The function.
        signature: Type of each argument, by name and in order: "*fp32", "i64", "constexpr".
        constants: Value of each constexpr.
        architecture: 80 or 90.
        num_warps: Of a program.
        unaligned: Arguments that are not said to be divisible by 16 (pointers and sizes are).
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    plain = {n: t for n, t in signature.items() if t != "constexpr"}
    aligned = [
        (place,)
        for place, (name, kind) in enumerate(signature.items())
        if name in plain and name not in unaligned and not kind.startswith("fp")
    ]
    attributes = {place: [["tt.divisibility", 16]] for place in aligned}
    source = ASTSource(kernel, signature, constants, attributes)
    target = GPUTarget("cuda", architecture, 32)
    # FP fusion is said, since its default changes with Triton 3.10.
    done = triton.compile(
        source, target=target, options={"num_warps": num_warps, "enable_fp_fusion": True}
    )
    return Compiled(done.asm["ptx"], done.asm["sass"])


class Ops:
    """The functions above, for tests: a conftest cannot be imported."""

    ARCHITECTURES = ARCHITECTURES
    ahead_of_time = staticmethod(ahead_of_time)


@pytest.fixture(scope="session")
def ops():
    if interpreted() or not installed("triton"):
        pytest.skip("needs Triton's compiler")
    return Ops
