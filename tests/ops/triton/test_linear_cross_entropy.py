"""Machine code of the kernels of the exact softmax, rows of 64."""

import re

import pytest
import torch

DIM = 64
CONSTANTS = ("HAS_BIAS", "WIDE", "PRECISION", "BLOCK_B", "BLOCK_C", "DIM")


def pointers(kernel, kind):
    """The kernel's tensors, by name; those of float32 whatever the table's are."""
    table = f"*{kind}"
    given = {"z": table, "weight": table, "bias": table}
    if kernel == "sums_kernel":
        return {"top_out": "*fp32", "total_out": "*fp32", **given}
    if kernel == "to_z_kernel":
        return {"out": "*fp32", **given, "offset": "*fp32"}
    sums = dict.fromkeys(("offset", "sign", "scale", "even"), "*fp32")
    first = {"out": table, "bias_out": "*fp32", "z": table, "signed": table}
    return {**first, "weight": table, "bias": table, **sums}


def compiled(ops, kernel, kind, architecture):
    """The kernel's machine code, and its tiles."""
    from graphrise.ops.triton import softmax_kernels
    from graphrise.ops.triton.linear_cross_entropy import tiles

    options = tiles({"fp32": torch.float32, "bf16": torch.bfloat16}[kind], DIM)
    options |= {"HAS_BIAS": False, "PRECISION": "tf32x3"}
    sizes = ["images", "classes", "dim", *([] if kernel == "to_rows_kernel" else ["span"])]
    signature = {
        **pointers(kernel, kind),
        **dict.fromkeys(sizes, "i32"),
        **dict.fromkeys(CONSTANTS, "constexpr"),
    }
    code = ops.ahead_of_time(
        getattr(softmax_kernels, kernel),
        signature,
        {name: options[name] for name in CONSTANTS},
        architecture,
        num_warps=options["num_warps"],
        unaligned=("images", "classes"),
    )
    return code, options


# float32 takes long to compile: once.
@pytest.mark.parametrize(("kind", "architecture"), [("bf16", 80), ("bf16", 90), ("fp32", 80)])
@pytest.mark.parametrize("kernel", ["sums_kernel", "to_z_kernel", "to_rows_kernel"])
def test_loads_wide_on_tensor_cores_and_spills_nothing(ops, kernel, kind, architecture):
    code, options = compiled(ops, kernel, kind, architecture)
    assert options["num_stages"] == 3
    row_bytes = DIM * (4 if kind == "fp32" else 2)
    # Of each tile a thread takes 16 bytes at a time, some of them past the registers.
    past = len(re.findall(r"\bLDGSTS\.E\.[A-Z0-9.]*128\b", code.sass))
    tile = options["BLOCK_C"] * row_bytes // (16 * 32 * options["num_warps"])
    assert code.wide_loads + past >= 2 * tile
    assert re.search(
        r"\bHGMMA\b" if (kind, architecture) == ("bf16", 90) else r"\bHMMA\b", code.sass
    )
    assert code.spills == 0
    assert code.atomics == 0
