"""Machine code of the row-wise kernel."""

import pytest


@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("kind", ["fp32", "bf16"])
def test_rows_are_moved_wide_and_nothing_spills(ops, architecture, kind):
    import triton.language as tl

    from graphrise.ops.triton.rowwise import update_kernel

    dim = 128 if kind == "fp32" else 256  # 16 bytes a thread of a warp
    code = ops.ahead_of_time(
        update_kernel,
        {
            "table": f"*{kind}",
            "state": "*fp32",
            "sorted_rows": "*i64",
            "order": "*i64",
            "grads": "*fp32",
            "noise": "*i64",
            "lr": "fp32",
            "eps": "fp32",
            "weight_decay": "fp32",
            "keep": "fp32",
            "add": "fp32",
            "num_rows": "i32",
            "num_entries": "i32",
            "dim": "i32",
            "ROUND": "constexpr",
            "WIDE": "constexpr",
            "DIM": "constexpr",
        },
        {"ROUND": kind == "bf16", "WIDE": tl.float32, "DIM": dim},
        architecture,
        num_warps=1,
        unaligned=("num_rows", "num_entries"),
    )
    assert code.wide_loads >= 2  # of the table's row and of the gradient
    assert code.spills == 0
