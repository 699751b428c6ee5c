"""RandAugment (Cubuk et al., 2020) on the device: every image draws its own operations.

The operations and their strengths are those of `torchvision.transforms.v2.RandAugment`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as tv
from torch import Tensor

OPERATIONS = (
    "Identity",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
    "Posterize",
    "Solarize",
    "AutoContrast",
    "Equalize",
)
_MOVES = OPERATIONS[1:6]
_BLENDS = OPERATIONS[6:10]


def rand_augment(images: Tensor, u: Tensor, magnitude: int) -> Tensor:
    """Apply each image's operations, one after another.

    A step handles the images that drew the same operation together, and those that move (shear,
    shift, rotation) as one group.

    Args:
        images: uint8 `[B, 3, S, S]`; left alone.
        u: float32 `[B, K]` in [0, 1]; a draw gives one operation and its sign.
        magnitude: Strength, 0 to 30.

    Returns:
        uint8 `[B, 3, S, S]`.
    """
    signed = 2 * len(OPERATIONS)
    # On the host, in one copy for all steps: which groups there are decides what is run.
    drawn = (u * signed).long().clamp_(max=signed - 1).cpu()
    operation, sign = drawn // 2, 1 - 2 * (drawn % 2)
    first_move, last_move = OPERATIONS.index(_MOVES[0]), OPERATIONS.index(_MOVES[-1])
    is_move = (operation >= first_move) & (operation <= last_move)
    group = torch.where(is_move, first_move, operation)
    out = images.clone()
    for step in range(u.size(1)):
        for member in group[:, step].unique().tolist():
            if OPERATIONS[member] == "Identity":
                continue
            rows = (group[:, step] == member).nonzero().ravel()
            there = rows.to(images.device, non_blocking=True)
            part = _applied(
                out.index_select(0, there), operation[rows, step], sign[rows, step], magnitude
            )
            out.index_copy_(0, there, part)
    return out


def _applied(x: Tensor, operation: Tensor, sign: Tensor, magnitude: int) -> Tensor:
    """One group's images after their operation; `operation`, `sign`: int64 `[n]`, on the host."""
    name = OPERATIONS[int(operation[0])]
    if name in _MOVES:
        table = torch.tensor(_moves(magnitude, x.size(-1)))
        theta = table[operation - OPERATIONS.index(_MOVES[0]), (1 - sign) // 2]
        return _moved(x, theta.to(x.device, non_blocking=True))
    if name in _BLENDS:
        factor = 1 + sign * _strength(0.9, magnitude)
        return _blended(x, name, factor.to(x.device, non_blocking=True).view(-1, 1, 1, 1))
    if name == "Posterize":
        return tv.posterize(x, bits=round(8 - magnitude / 7.5))
    if name == "Solarize":
        return tv.solarize(x, threshold=255 * float(torch.linspace(1, 0, 31)[magnitude]))
    return tv.autocontrast(x) if name == "AutoContrast" else tv.equalize(x)


def _strength(top: float, magnitude: int) -> float:
    # In float32, as torchvision has it: a product in float64 falls on the other side of a pixel.
    return float(torch.linspace(0, top, 31)[magnitude])


def _moves(magnitude: int, side: int) -> list[list[list[list[float]]]]:
    """For each move and sign (plus, minus) its `affine_grid` matrix: `[5, 2, 2, 3]`."""
    shear = _strength(0.3, magnitude)
    shift = 2 * int(_strength(150 / 331 * side, magnitude)) / side
    angle = math.radians(_strength(30, magnitude))
    table: list[list[list[list[float]]]] = [[] for _ in _MOVES]
    for sign in (1, -1):
        k, t = sign * shear, -sign * shift
        cos, sin = math.cos(angle), sign * math.sin(angle)
        table[0].append([[1, k, k], [0, 1, 0]])
        table[1].append([[1, 0, 0], [k, 1, k]])
        table[2].append([[1, 0, t], [0, 1, 0]])
        table[3].append([[1, 0, 0], [0, 1, t]])
        table[4].append([[cos, -sin, 0], [sin, cos, 0]])
    return table


def _moved(x: Tensor, theta: Tensor) -> Tensor:
    """Nearest pixels; black where there is no picture."""
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    moved = F.grid_sample(x.float(), grid, mode="nearest", align_corners=False)
    return moved.to(torch.uint8)


def _blended(x: Tensor, name: str, factor: Tensor) -> Tensor:
    """Away from (factor above 1) or towards black, grey, the mean grey or a blurred picture."""
    picture = x.float()
    if name == "Brightness":
        return (picture * factor).clamp_(0, 255).to(torch.uint8)
    if name == "Sharpness":
        other = _blurred(picture)
    else:
        other = tv.rgb_to_grayscale(x).float()
        if name == "Contrast":
            other = other.mean(dim=(2, 3), keepdim=True)
    return (other + factor * (picture - other)).clamp_(0, 255).to(torch.uint8)


def _blurred(x: Tensor) -> Tensor:
    """Each pixel counted five times among its neighbours, rounded; the rim as it is."""
    blurred = x.clone()
    inner = x[:, :, 1:-1, 1:-1]
    blurred[:, :, 1:-1, 1:-1] = ((9 * F.avg_pool2d(x, 3, stride=1) + 4 * inner) / 13).round_()
    return blurred
