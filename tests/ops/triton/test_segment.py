"""Machine code of the kernels of segments and of scattered sums."""

import re

import pytest

SIZES = {"rowptr": "*i64", "num_rows": "i32", "entries": "i32", "dim": "i32"}
ODD = ("num_rows", "entries")  # only the width of rows is known to be divisible


def compiled(ops, kernel, pointers, constants, architecture, sizes=SIZES):
    """Columns of a program are 64, its rows as the wrapper chooses."""
    from graphrise.ops.triton.segment import WARPS

    signature = {**pointers, **sizes, **dict.fromkeys(constants, "constexpr")}
    unaligned = [name for name in (*ODD, "steps") if name in signature]
    return ops.ahead_of_time(
        kernel, signature, constants, architecture, num_warps=WARPS, unaligned=unaligned
    )


def vectors(kind, numbers=1024, warps=4):
    """128-bit accesses of a thread to go through a tile once."""
    return numbers * (4 if kind == "fp32" else 2) // (warps * 32 * 16)


@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("kind", ["fp32", "bf16"])
def test_sum_loads_wide_and_spills_nothing(ops, architecture, kind):
    import triton.language as tl

    from graphrise.ops.triton.segment import ENTRIES, PART, UNROLL, part_kernel, sum_kernel

    pointers = {"out": f"*{kind}", "src": f"*{kind}", "parts": "*fp32"}
    constants = {"WIDE": tl.float32, "PART": PART, "UNROLL": UNROLL, "ROWS": 16, "DIM": 64}
    code = compiled(ops, sum_kernel, pointers, constants, architecture)
    assert code.wide_loads >= UNROLL * (vectors(kind) + vectors("fp32"))
    assert code.spills == 0
    assert code.atomics == 0
    pointers = {"parts": "*fp32", "src": f"*{kind}"}
    constants = {"WIDE": tl.float32, "PART": PART, "ENTRIES": ENTRIES, "DIM": 64}
    code = compiled(ops, part_kernel, pointers, constants, architecture, {**SIZES, "steps": "i32"})
    assert code.wide_loads >= vectors(kind)
    assert code.spills == 0


@pytest.mark.parametrize("architecture", [80, 90])
def test_spread_and_extreme_go_wide_and_spill_nothing(ops, architecture):
    import triton.language as tl

    from graphrise.ops.triton.segment import UNROLL, extreme_kernel, spread_kernel

    tile = {"ROWS": 16, "DIM": 64}
    pointers = {"out": "*bf16", "value": "*bf16"}
    code = compiled(ops, spread_kernel, pointers, {"UNROLL": UNROLL, **tile}, architecture)
    assert code.wide_loads >= vectors("bf16")
    assert len(re.findall(r"\bSTG\.E\.128\b", code.sass)) >= UNROLL * vectors("bf16")
    assert code.spills == 0
    pointers = {"out": "*bf16", "arg": "*i64", "src": "*bf16"}
    constants = {"LARGEST": True, "WIDE": tl.float32, **tile}
    code = compiled(ops, extreme_kernel, pointers, constants, architecture)
    assert code.wide_loads >= vectors("bf16")
    assert code.spills == 0


@pytest.mark.parametrize("architecture", [80, 90])
def test_softmax_loads_wide_and_spills_nothing(ops, architecture):
    import triton.language as tl

    from graphrise.ops.triton.segment_softmax import backward_kernel, softmax_kernel

    constants = {"WIDE": tl.float32, "ROWS": 16, "DIM": 64}
    pointers = {"out": "*fp32", "src": "*fp32"}
    code = compiled(ops, softmax_kernel, pointers, constants, architecture)
    assert code.wide_loads >= 2 * vectors("fp32")
    assert code.spills == 0
    pointers = {"out": "*fp32", "grad": "*fp32", "y": "*fp32"}
    code = compiled(ops, backward_kernel, pointers, constants, architecture)
    assert code.wide_loads >= 4 * vectors("fp32")
    assert code.spills == 0


@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("kind", ["fp32", "bf16"])
def test_scatter_adds_vectors(ops, architecture, kind):
    import triton.language as tl

    from graphrise.ops.triton.scatter import NUMBERS, add_kernel

    pointers = {"out": "*fp32", "src": f"*{kind}", "index": "*i64"}
    sizes = dict.fromkeys(("num_rows", "entries", "dim"), "i32")
    constants = {"WIDE": tl.float32, "ENTRIES": NUMBERS // 64, "DIM": 64}
    code = compiled(ops, add_kernel, pointers, constants, architecture, sizes)
    assert code.wide_loads >= vectors(kind, NUMBERS)
    assert code.spills == 0
    assert "relaxed.add" in code.ptx
    assert "acq_rel" not in code.ptx
    assert code.atomics > 0
    if architecture == 90:
        assert ".add.v4.f32" in code.ptx
        assert code.vector_atomics == vectors("fp32", NUMBERS)
