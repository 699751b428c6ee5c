"""The batch that training stopped at, read back."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch_geometric.data import Data

from graphrise.errors import DataError
from graphrise.train.bad_batch import save_batch

NAMES = ["a", "b", "c", "d"]


def batch_of():
    pictures = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).view(2, 3, 4, 4)
    base = torch.tensor([[0, 1], [1, 0]])
    return Data(
        x=pictures.to(memory_format=torch.channels_last),
        n_id=torch.tensor([3, 1]),
        edge_index=base.T,
        label_row=base[0],
        batch_size=1,
        bad_reason=["no image"],
        note=None,
    )


def test_tensors_and_facts_are_read_back(tmp_path):
    batch = batch_of()
    facts = {"step": 7, "terms": {"loss": float("nan"), "edge_loss": 0.5, "x": float("-inf")}}
    save_batch(tmp_path / "bad_batch", batch, NAMES, facts)
    tensors = load_file(tmp_path / "bad_batch" / "batch.safetensors")
    assert set(tensors) == {"x", "n_id", "edge_index", "label_row"}
    for name, value in tensors.items():
        assert value.dtype == batch[name].dtype
        assert torch.equal(value, batch[name])
    text = (tmp_path / "bad_batch" / "batch.json").read_text()

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    found = json.loads(text, parse_constant=refuse)
    assert found == {
        "step": 7,
        "terms": {"loss": "nan", "edge_loss": 0.5, "x": "-inf"},
        "batch_size": 1,
        "bad_reason": ["no image"],
        "image_ids": ["d", "b"],
    }


def test_an_earlier_batch_is_replaced_whole(tmp_path):
    folder = tmp_path / "bad_batch"
    save_batch(folder, batch_of(), NAMES, {"step": 1})
    (folder / "left.txt").touch()
    save_batch(folder, batch_of(), NAMES, {"step": 2})
    assert {p.name for p in folder.iterdir()} == {"batch.json", "batch.safetensors"}
    assert json.loads((folder / "batch.json").read_text())["step"] == 2


def test_half_a_batch_is_never_there(tmp_path):
    with pytest.raises(IndexError):
        save_batch(tmp_path / "bad_batch", batch_of(), NAMES[:2], {})
    batch = batch_of()
    batch.nowhere = torch.empty(2, device="meta")
    with pytest.raises(NotImplementedError):
        save_batch(tmp_path / "bad_batch", batch, NAMES, {})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_the_user_is_not_replaced(tmp_path):
    (tmp_path / "bad_batch").mkdir()
    (tmp_path / "bad_batch" / "mine.txt").touch()
    with pytest.raises(DataError, match=r"batch\.json"):
        save_batch(tmp_path / "bad_batch", batch_of(), NAMES, {})
