"""A batch that training stopped at, kept for inspection."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch_geometric.data import Data

from graphrise.data.files import whole_folder

_MARK = "batch.json"


def save_batch(folder: Path, batch: Data, image_ids: Sequence[Any], facts: dict[str, Any]) -> None:
    """Write `batch.safetensors` and `batch.json` to a folder, whole or not at all.

    The first holds the batch's tensors under their names (`loader.TrainingLoader` lists them), `x`
    as uint8 `[N, 3, H, W]`; the second its other fields, `image_ids` of its N images in order, and
    `facts`. An earlier batch there is replaced.

    Args:
        folder: Folder to write.
        batch: On any device.
        image_ids: By node of the graph.
        facts: Plain values; numbers that are not finite become text (`"nan"`, `"inf"`).
    """
    fields = dict(batch.to_dict())
    tensors = {name: value for name, value in fields.items() if isinstance(value, Tensor)}
    others = {
        name: value for name, value in fields.items() if isinstance(value, (int, float, str, list))
    }
    nodes = tensors["n_id"].tolist()
    names = {"image_ids": [image_ids[node] for node in nodes]}
    with whole_folder(folder, overwrite=True, mark=_MARK) as temporary:
        # Copies: safetensors wants no two that share memory.
        whole = {
            name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, value in tensors.items()
        }
        save_file(whole, temporary / "batch.safetensors")
        text = json.dumps(_plain({**facts, **others, **names}), indent=2, default=str)
        (temporary / _MARK).write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """JSON has no name for numbers that are not finite."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    finite = not isinstance(value, float) or abs(value) < float("inf")
    return value if finite else str(value)
