"""Past embeddings: what was written, how old it is, and where the table lies."""

import io

import numpy as np
import pytest
import torch

from graphrise.errors import ConfigError
from graphrise.nn.bank import EmbeddingBank

DTYPES = [torch.float16, torch.float32]


@pytest.fixture(params=["memory", "file"])
def place(request, tmp_path):
    return tmp_path / "bank.npy" if request.param == "file" else None


@pytest.mark.parametrize("dtype", DTYPES)
def test_written_rows_come_back_with_their_age(place, dtype):
    bank = EmbeddingBank(6, 3, dtype=dtype, file=place)
    assert bank.table.dtype == dtype
    assert bank.filled() == 0
    z = torch.tensor([[0.5, -1.0, 2.0], [4.0, 0.25, 8.0]], requires_grad=True)
    bank.write(torch.tensor([4, 1]), z, 0)
    bank.write(torch.tensor([1]), z[:1], 7)
    found, age = bank.read(torch.tensor([1, 4, 0, 1]), 9)
    assert found.tolist() == [[0.5, -1, 2], [0.5, -1, 2], [0, 0, 0], [0.5, -1, 2]]
    assert age.tolist() == [2, 9, -1, 2]
    assert (found.dtype, age.dtype) == (torch.float32, torch.int64)
    assert not found.requires_grad
    assert bank.filled() == pytest.approx(2 / 6)
    # What a caller does to it must not reach the table.
    found.zero_()
    assert bank.read(torch.tensor([1]), 9)[0].tolist() == [[0.5, -1, 2]]


def test_half_precision_rounds_and_single_does_not():
    z = torch.randn(50, 8)
    for dtype, error in ((torch.float16, 2**-11), (torch.float32, 0)):
        bank = EmbeddingBank(50, 8, dtype=dtype)
        bank.write(torch.arange(50), z, 1)
        found = bank.read(torch.arange(50), 1)[0]
        assert ((found - z).abs() <= error * z.abs() + error * 2**-14).all()
        assert torch.equal(found, z) == (error == 0)


def test_a_mapped_table_is_a_file(tmp_path):
    file = tmp_path / "bank.npy"
    bank = EmbeddingBank(5, 2, dtype=torch.float32, file=file)
    bank.write(torch.tensor([3]), torch.tensor([[1.5, 2.5]]), 4)
    found = np.load(file)
    assert (found.shape, found.dtype) == ((5, 2), np.float32)
    assert found[3].tolist() == [1.5, 2.5]
    assert not found[[0, 1, 2, 4]].any()
    # A checkpoint holds the steps, not gigabytes of table.
    assert set(bank.state_dict()) == {"step"}
    again = EmbeddingBank(5, 2, dtype=torch.float32, file=file)
    assert again.read(torch.tensor([3]), 4)[1].tolist() == [-1]
    assert not np.load(file).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_state_there_and_back(dtype):
    bank = EmbeddingBank(4, 3, dtype=dtype)
    bank.write(torch.tensor([0, 2]), torch.randn(2, 3), 5)
    buffer = io.BytesIO()
    torch.save(bank.state_dict(), buffer)
    buffer.seek(0)
    other = EmbeddingBank(4, 3, dtype=dtype)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    nodes = torch.arange(4)
    for found, want in zip(other.read(nodes, 8), bank.read(nodes, 8), strict=True):
        assert torch.equal(found, want)
    assert list(bank.parameters()) == []


def test_a_bank_of_nobody(place):
    bank = EmbeddingBank(0, 3, file=place)
    none = torch.empty(0, dtype=torch.long)
    bank.write(none, torch.empty(0, 3), 0)
    found, age = bank.read(none, 3)
    assert (found.shape, age.shape) == ((0, 3), (0,))
    assert bank.filled() == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.int8])
def test_another_dtype_is_refused(dtype, tmp_path):
    with pytest.raises(ConfigError, match="must be float16 or float32, got torch"):
        EmbeddingBank(2, 2, dtype=dtype, file=tmp_path / "bank.npy")
    assert list(tmp_path.iterdir()) == []
