"""Rows of a matrix as the images of a dataset."""

import io
import pickle

import numpy as np
import pytest
import torch

from graphrise.data.tables import read_images
from graphrise.errors import DataError
from graphrise.images import ImageReader, open_images
from graphrise.images.features import FeatureStore
from graphrise.images.pack import pack
from graphrise.images.readers import FeatureReader, reader_of

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)


def saved(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


@pytest.fixture
def folder(make, tmp_path):
    rows = [{"image_id": f"n{i}", "split": "train", "label": "a"} for i in range(4)]
    folder = make.save_tables(tmp_path / "nodes", rows)
    np.save(folder / "features.npy", VALUES)
    return folder


def test_rows_in_the_order_asked_for(folder):
    images, store = open_images(folder)
    assert (len(images), len(store), store.width) == (4, 4, 3)
    reader = reader_of(store, np.array([3, 0, 2]), 224)
    batch = reader.read(torch.tensor([2, 0, 0]))
    assert batch.dtype == torch.float32
    assert batch.tolist() == VALUES[[2, 3, 3]].tolist()
    batch += 1  # a batch is nobody else's
    assert reader.read(torch.tensor([1])).tolist() == VALUES[[0]].tolist()
    assert reader.read(torch.tensor([], dtype=torch.long)).shape == (0, 3)
    assert reader.source(1) == "features.npy, row 0"


def test_another_process_maps_the_file_itself(folder):
    values = np.zeros((4, 10_000), dtype=np.float32)
    values[1] = 7
    np.save(folder / "features.npy", values)
    reader = reader_of(open_images(folder)[1], np.arange(4), 224)
    sent = pickle.dumps(reader)
    assert len(sent) < values.nbytes / 10
    assert (pickle.loads(sent).read(torch.tensor([1])) == 7).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite(folder, wrong):
    values = VALUES.copy()
    values[2, 1] = wrong
    np.save(folder / "features.npy", values)
    _, store = open_images(folder)
    reader = reader_of(store, np.array([0, 2]), 224)
    assert reader.read(torch.tensor([0])).tolist() == VALUES[[0]].tolist()
    with pytest.raises(DataError, match=r"'n2' \(features.npy, row 2\) cannot be read: holds NaN"):
        reader.read(torch.tensor([0, 1]))
    skipping = reader_of(store, np.array([0, 2]), 224, on_bad_image="skip")
    batch, bad = skipping.read_noting(torch.tensor([1, 0, 1]))
    assert batch.tolist() == [[0, 0, 0], VALUES[0].tolist(), [0, 0, 0]]
    assert bad == {1: "holds NaN or infinity"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (saved(VALUES[:3]), r"has 3 rows, images.parquet has 4"),
        (saved(VALUES.astype(np.float64)), r"is float64 \[4, 3\]; it must be float32 \[4, D\]"),
        (saved(VALUES[0]), r"is float32 \[3\]; it must"),
        (saved(VALUES[:, :0]), "features.npy: "),
        (saved(np.array([[{}]] * 4, dtype=object)), "not a readable .npy file"),
        (pickle.dumps(VALUES), "not a readable .npy file"),
        (saved(VALUES)[:-1], "not a readable .npy file"),
        (b"", "not a readable .npy file"),
    ],
)
def test_a_matrix_that_is_not_one_row_an_image(folder, content, message):
    (folder / "features.npy").write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_images(folder)


def test_without_the_matrix_there_is_no_image(folder):
    (folder / "features.npy").unlink()
    with pytest.raises(DataError, match=r"needs a column 'path' .* or features.npy beside it"):
        read_images(folder)


def test_pictures_stay_pictures_beside_a_matrix(dataset):
    np.save(dataset / "features.npy", np.zeros((15, 2), dtype=np.float32))
    images, store = open_images(dataset)
    assert not isinstance(store, FeatureStore)
    reader = reader_of(store, np.arange(len(images)), 16)
    assert isinstance(reader, ImageReader)
    assert reader.read(torch.tensor([0])).shape == (1, 3, 16, 16)


def test_no_picture_is_made_of_a_row(folder):
    _, store = open_images(folder)
    assert isinstance(reader_of(store, np.arange(4), 16), FeatureReader)
    with pytest.raises(DataError, match=r"'n1' \(features.npy, row 1\).*features, not a picture"):
        ImageReader(store, np.arange(4), 16).read(torch.tensor([1]))


def test_there_is_nothing_to_pack(folder):
    with pytest.raises(DataError, match="no pictures to pack; train on it as it is"):
        pack(folder)
    assert not (folder / "packed").exists()
