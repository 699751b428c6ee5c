"""Softmax over all rows of a table, in tiles: a row of the table is one step of a product."""

from __future__ import annotations

import triton
import triton.language as tl

LIFT = tl.constexpr(15)
"""Exponentials are 2^15 times as large, so that float16 has those of 40 million labels."""
_LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def sums_kernel(
    top_out,
    total_out,
    z,
    weight,
    bias,
    images,
    classes,
    dim,
    span,
    HAS_BIAS: tl.constexpr,
    WIDE: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_C: tl.constexpr,
    DIM: tl.constexpr,
):
    """Of BLOCK_B images and `span` labels: the largest logit, and the sum of `exp(logit - it)`.

    Images are the grid's fast axis, so that programs which read the same rows run together.
    """
    image = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    place = tl.arange(0, DIM)
    there = image < images
    at = image[:, None].to(tl.int64) * dim + place[None, :]
    tile = tl.load(z + at, mask=there[:, None] & (place[None, :] < dim), other=0.0)
    top = tl.full([BLOCK_B], float("-inf"), dtype=WIDE)
    total = tl.zeros([BLOCK_B], dtype=WIDE)
    first = tl.program_id(1) * span
    for begin in range(first, tl.minimum(first + span, classes), BLOCK_C):
        label = begin + tl.arange(0, BLOCK_C)
        at = label[:, None].to(tl.int64) * dim + place[None, :]
        mask = (label[:, None] < classes) & (place[None, :] < dim)
        rows = tl.load(weight + at, mask=mask, other=0.0)
        logits = tl.dot(tile, tl.trans(rows), input_precision=PRECISION)
        if HAS_BIAS:
            logits += tl.load(bias + label, mask=label < classes, other=0.0).to(WIDE)[None, :]
        logits = tl.where(label[None, :] < classes, logits, float("-inf"))
        higher = tl.maximum(top, tl.max(logits, axis=1))
        total = total * tl.exp(top - higher) + tl.sum(tl.exp(logits - higher[:, None]), axis=1)
        top = higher
    out = tl.program_id(1).to(tl.int64) * images + image
    tl.store(top_out + out, top, mask=there)
    tl.store(total_out + out, total, mask=there)


@triton.jit
def to_z_kernel(
    out,
    z,
    weight,
    bias,
    offset,
    images,
    classes,
    dim,
    span,
    HAS_BIAS: tl.constexpr,
    WIDE: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_C: tl.constexpr,
    DIM: tl.constexpr,
):
    """`2^LIFT sum_c exp(logit_bc + offset_b) weight_c` of BLOCK_B images over `span` labels.

    The offset makes exponents at most 0.
    """
    image = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    place = tl.arange(0, DIM)
    there = image < images
    inside = there[:, None] & (place[None, :] < dim)
    at = image[:, None].to(tl.int64) * dim + place[None, :]
    tile = tl.load(z + at, mask=inside, other=0.0)
    add = tl.load(offset + image, mask=there, other=float("-inf"))[:, None]
    total = tl.zeros([BLOCK_B, DIM], dtype=WIDE)
    first = tl.program_id(1) * span
    for begin in range(first, tl.minimum(first + span, classes), BLOCK_C):
        label = begin + tl.arange(0, BLOCK_C)
        at = label[:, None].to(tl.int64) * dim + place[None, :]
        mask = (label[:, None] < classes) & (place[None, :] < dim)
        rows = tl.load(weight + at, mask=mask, other=0.0)
        logits = tl.dot(tile, tl.trans(rows), input_precision=PRECISION)
        if HAS_BIAS:
            logits += tl.load(bias + label, mask=label < classes, other=0.0).to(WIDE)[None, :]
        p = tl.exp2((logits + add) * _LOG2_E + LIFT)
        p = tl.where(label[None, :] < classes, p, 0.0)
        total += tl.dot(p.to(rows.dtype), rows, input_precision=PRECISION)
    at = (tl.program_id(1).to(tl.int64) * images + image[:, None]) * dim + place[None, :]
    tl.store(out + at, total, mask=inside)


@triton.jit
def to_rows_kernel(
    out,
    bias_out,
    z,
    signed,
    weight,
    bias,
    offset,
    sign,
    scale,
    even,
    images,
    classes,
    dim,
    HAS_BIAS: tl.constexpr,
    WIDE: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_C: tl.constexpr,
    DIM: tl.constexpr,
):
    """`2^LIFT scale sum_b exp(logit_bc + offset_b) signed_b + even` of BLOCK_C labels, all images.

    With a bias also `2^LIFT scale sum_b sign_b exp(logit_bc + offset_b)`.
    """
    label = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    place = tl.arange(0, DIM)
    there = label < classes
    inside = there[:, None] & (place[None, :] < dim)
    at = label[:, None].to(tl.int64) * dim + place[None, :]
    rows = tl.load(weight + at, mask=inside, other=0.0)
    total = tl.zeros([BLOCK_C, DIM], dtype=WIDE)
    bias_total = tl.zeros([BLOCK_C], dtype=WIDE)
    if HAS_BIAS:
        own = tl.load(bias + label, mask=there, other=0.0).to(WIDE)[:, None]
    for begin in range(0, images, BLOCK_B):
        image = begin + tl.arange(0, BLOCK_B)
        real = image < images
        at_z = image[:, None].to(tl.int64) * dim + place[None, :]
        mask = real[:, None] & (place[None, :] < dim)
        tile = tl.load(z + at_z, mask=mask, other=0.0)
        add = tl.load(offset + image, mask=real, other=float("-inf"))[None, :]
        logits = tl.dot(rows, tl.trans(tile), input_precision=PRECISION)
        if HAS_BIAS:
            logits += own
        p = tl.exp2((logits + add) * _LOG2_E + LIFT)
        if HAS_BIAS:
            turned = tl.load(sign + image, mask=real, other=0.0)[None, :]
            bias_total += tl.sum(p * turned, axis=1)
        tile = tl.load(signed + at_z, mask=mask, other=0.0)
        total += tl.dot(p.to(rows.dtype), tile, input_precision=PRECISION)
    size = tl.load(scale)
    shift = tl.load(even + place, mask=place < dim, other=0.0)
    tl.store(out + at, total * size + shift[None, :], mask=inside)
    if HAS_BIAS:
        tl.store(bias_out + label, bias_total * size, mask=there)
