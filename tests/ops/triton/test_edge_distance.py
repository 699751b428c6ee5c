"""Machine code of the kernels of distances along edges."""

import pytest

KINDS = ["squared_l2", "l2", "l1", "cosine"]
BOTH = [("squared_l2", "fp32"), *((kind, "bf16") for kind in KINDS)]
ENTRIES, DIM = 16, 64


def compiled(ops, name, kind, dtype, architecture, *, grad="*fp32", **constants):
    import triton.language as tl

    from graphrise.ops.triton import edge_distance

    types = {"z": f"*{dtype}", "norm": "*fp32", "rowptr": "*i64", "col": "*i32"}
    types |= {"weight": f"*{dtype}", "scale": "*fp32", "num_z": "i32", "entries": "i32"}
    types |= {"dim": "i32", "out": "*fp32", "grad": grad}
    kernel = getattr(edge_distance, name)
    signature = {arg: types.get(arg, "constexpr") for arg in kernel.arg_names}
    constants |= {"KIND": KINDS.index(kind), "HAS_WEIGHT": True, "WIDE": tl.float32}
    constants |= {"ENTRIES": ENTRIES, "DIM": DIM}
    odd = ("num_z", "entries")
    return ops.ahead_of_time(kernel, signature, constants, architecture, num_warps=1, unaligned=odd)


def fewest_wide(dtype):
    """Loads of 128 bits that 16 neighbours' rows are, a warp of 32 threads taking 16 bytes each."""
    return ENTRIES * DIM * (4 if dtype == "fp32" else 2) // (32 * 16)


@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize(("kind", "dtype"), BOTH)
def test_distances_load_wide_and_spill_nothing(ops, architecture, kind, dtype):
    code = compiled(ops, "apart_kernel", kind, dtype, architecture, EACH=False)
    assert code.wide_loads >= fewest_wide(dtype)
    assert code.spills == 0
    assert code.atomics == 0


@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_of_own_rows_is_without_atomics(ops, architecture, kind):
    once = {"FACTOR": 2, "ATOMIC": False, "grad": "*bf16"}
    code = compiled(ops, "pull_kernel", kind, "bf16", architecture, **once)
    assert code.wide_loads >= fewest_wide("bf16")
    assert code.spills == 0
    assert code.atomics == 0


@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize(("kind", "dtype"), BOTH)
def test_gradient_of_both_sides_adds_vectors(ops, architecture, kind, dtype):
    code = compiled(ops, "pull_kernel", kind, dtype, architecture, FACTOR=1, ATOMIC=True)
    assert code.wide_loads >= fewest_wide(dtype)
    assert code.spills == 0
    assert code.atomics > 0
    # Several numbers at once: only Hopper can.
    assert (code.vector_atomics > 0) == (architecture == 90)


@pytest.mark.parametrize("dim", [1, 7, 64, 100, 256, 1000, 4096])
def test_programs_of_long_rows_have_warps_enough(dim, ops):
    import torch

    from graphrise.ops.triton.edge_distance import _tile

    del ops
    entries, columns, warps = _tile(torch.empty(0, dim))
    assert columns >= dim
    assert entries >= 1
    assert entries * columns <= 1024 * warps or warps == 8
