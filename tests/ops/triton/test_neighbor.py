"""Machine code of the kernels that sum neighbours' rows."""

import pytest

POINTERS = {"rowptr": "*i64", "col": "*i32"}


@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("kind", ["fp32", "bf16"])
def test_sum_loads_wide_and_spills_nothing(ops, architecture, kind):
    import triton.language as tl

    from graphrise.ops.triton.neighbor import ENTRIES, sum_kernel

    code = ops.ahead_of_time(
        sum_kernel,
        {
            "out": f"*{kind}",
            "z": f"*{kind}",
            **POINTERS,
            "weight": f"*{kind}",
            "num_z": "i32",
            "entries": "i32",
            "dim": "i32",
            "HAS_WEIGHT": "constexpr",
            "WIDE": "constexpr",
            "ENTRIES": "constexpr",
            "DIM": "constexpr",
        },
        {"HAS_WEIGHT": True, "WIDE": tl.float32, "ENTRIES": ENTRIES, "DIM": 64},
        architecture,
        num_warps=1,
        unaligned=("num_z", "entries"),
    )
    row_bytes = 64 * (4 if kind == "fp32" else 2)
    # A warp of 32 threads takes 16 bytes each.
    assert code.wide_loads >= ENTRIES * row_bytes // (32 * 16)
    assert code.spills == 0
    assert code.atomics == 0


@pytest.mark.parametrize("architecture", [80, 90])
def test_dot_loads_wide_and_spills_nothing(ops, architecture):
    import triton.language as tl

    from graphrise.ops.triton.neighbor import ENTRIES, dot_kernel

    code = ops.ahead_of_time(
        dot_kernel,
        {
            "out": "*bf16",
            "g": "*bf16",
            "z": "*bf16",
            **POINTERS,
            "num_z": "i32",
            "entries": "i32",
            "dim": "i32",
            "WIDE": "constexpr",
            "ENTRIES": "constexpr",
            "DIM": "constexpr",
        },
        {"WIDE": tl.float32, "ENTRIES": ENTRIES, "DIM": 64},
        architecture,
        num_warps=1,
        unaligned=("num_z", "entries"),
    )
    assert code.wide_loads >= ENTRIES * 64 * 2 // (32 * 16)
    assert code.spills == 0
