"""Case `decode`, over in a moment: its rows, what they are held against, what is missing."""

import importlib
import json

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the photographs are scikit-learn's")

from benchmarks import containers, decode
from benchmarks.photos import photos

# Torchvision means to drop its decoders; until then they are a peer.
pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities")
PEERS = {"turbojpeg", "cv2", "lmdb", "datasets"}


@pytest.fixture
def without_peers(monkeypatch):
    """No optional package is installed."""
    real = importlib.import_module

    def importing(name):
        if name in PEERS:
            raise ImportError(f"No module named {name!r}")
        return real(name)

    monkeypatch.setattr(containers.importlib, "import_module", importing)


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch):
    monkeypatch.setattr(decode, "PICTURES", 12)


def test_rows_and_missing_peers(without_peers, capsys):
    rows = decode.run(2, 0.005)
    assert capsys.readouterr().out.splitlines() == [
        f"missing: {name} (No module named {module!r})"
        for name, module in [
            ("bare PyTurboJPEG", "turbojpeg"),
            ("bare OpenCV", "cv2"),
            ("LMDB", "lmdb"),
            ("Hugging Face datasets", "datasets"),
        ]
    ]
    assert [(row.variant, row.unit) for row in rows] == [
        ("bare simplejpeg", "images/s"),
        ("bare torchvision", "images/s"),
        ("bare Pillow", "images/s"),
        ("ours, 256 px square", "images/s"),
        ("ours, 224 px square", "images/s"),
        ("whole, resized", "images/s"),
        ("ours, at half size, resized", "images/s"),
        ("whole, not resized", "images/s"),
        ("plain files", "reads/s"),
        ("Arrow IPC, mapped (ours)", "reads/s"),
        ("Parquet, row groups of 64", "reads/s"),
    ]
    for row in rows:
        found = json.loads(json.dumps(row.to_dict()))
        assert found["case"] == "decode"
        assert found["repetitions"] == 2
        assert found["value"] > 0
        assert found["peak_mib"] > 50
        assert found["size"].startswith("96 JPEGs" if row.unit == "reads/s" else "12 JPEGs")
        assert found["versions"]["simplejpeg"]


def test_decoders_are_held_against_the_fastest_bare_one():
    rows = decode.run(1, 0.005)
    first = [row for row in rows if "short side 256" in row.size]
    medians = {row.variant: np.median(row.values) for row in first}
    bare = {name: value for name, value in medians.items() if name.startswith("bare ")}
    best = max(bare, key=lambda name: bare[name])
    assert {row.baseline for row in first} == {best}
    assert {row.variant: row.ratio for row in first} == pytest.approx(
        {name: value / bare[best] for name, value in medians.items()}
    )
    assert {row.baseline for row in rows if row.metric == "random read"} == {"plain files"}


def test_every_container_gives_the_same_bytes(tmp_path):
    data = photos(70, short=24)
    with containers.containers(data, tmp_path) as places:
        assert {"plain files", "Arrow IPC, mapped (ours)"} < set(places)
        for name, read in places.items():
            assert [read(row) for row in range(70)] == data, name


def test_every_decoder_gives_the_same_picture():
    data = photos(8, short=48)
    acts = decode._bare_decoders(data)
    pictures = {name: [np.asarray(act(n)) for n in range(8)] for name, act in acts.items()}
    pictures["bare torchvision"] = [p.transpose(1, 2, 0) for p in pictures["bare torchvision"]]
    for name, found in pictures.items():
        for one, other in zip(found, pictures["bare Pillow"], strict=True):
            assert one.shape == other.shape, name
            # Chroma is enlarged in another way.
            assert np.abs(one.astype(int) - other).mean() < 3, name


def test_numbers_come_at_random_and_all_of_them():
    asked = []
    decode.timed({"one": asked.append}, 40, 1, 0.01)
    assert sorted(asked[:40]) == list(range(40))
    assert asked[:40] != list(range(40))
    assert set(asked[40:]) == set(range(40))
