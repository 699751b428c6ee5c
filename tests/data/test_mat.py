"""Lists in MATLAB files."""

import sys

import numpy as np
import pytest

from graphrise.data.mat import read_strings, read_structs
from graphrise.errors import DataError


@pytest.fixture
def file(tmp_path):
    io = pytest.importorskip("scipy.io")
    kind = [("name", object), ("number", object)]
    structs = {
        "many": np.array([("a", 1), ("bc", 2)], dtype=kind),
        "one": np.array([("d", 3)], dtype=kind),
        "words": np.array(["x y", "z"], dtype=object),
    }
    io.savemat(tmp_path / "list.mat", structs)
    return tmp_path / "list.mat"


def test_structs_and_strings(file):
    assert read_structs(file, "many", ("number", "name")) == [(1, "a"), (2, "bc")]
    assert read_structs(file, "one", ("name",)) == [("d",)]
    assert read_strings(file, "words") == ["x y", "z"]


def test_what_is_not_there(file):
    with pytest.raises(DataError, match=r"list.mat: holds no variable 'few'"):
        read_strings(file, "few")
    with pytest.raises(DataError, match=r"list.mat: 'many' has no fields name, size"):
        read_structs(file, "many", ("name", "size"))
    with pytest.raises(DataError, match=r"list.mat: 'words' has no fields name"):
        read_structs(file, "words", ("name",))


@pytest.mark.parametrize("data", [b"", b"not a .mat", b"MATLAB 5.0" + b"\0" * 300])
def test_damage(file, data):
    file.write_bytes(data)
    with pytest.raises(DataError, match=r"list.mat: not a readable .mat"):
        read_strings(file, "words")


def test_without_scipy(file, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(DataError, match="pip install scipy"):
        read_strings(file, "words")
