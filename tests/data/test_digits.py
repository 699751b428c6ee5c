"""The digits as a dataset folder."""

import sys
from collections import Counter

import pyarrow.parquet as pq
import pytest

from graphrise.data.digits import WORDS, write_digits
from graphrise.data.simulate import SimulatorConfig
from graphrise.data.tables import read_images
from graphrise.errors import DataError


def test_writes_a_dataset(tmp_path):
    pytest.importorskip("sklearn")
    simulator = SimulatorConfig(sessions=30, drop_unique_keywords=False)
    assert write_digits(tmp_path / "d", simulator=simulator) == 1797
    table = read_images(tmp_path / "d")
    splits = Counter(table.column("split"))
    # A tenth each of val and test; a twentieth of all is gallery.
    assert splits["val"] == splits["test"] == 180
    assert splits["gallery"] == 90
    rows = table.table.select(["split", "label", "instance", "parity"]).to_pylist()
    for row in rows:
        assert row["label"] == (None if row["split"] == "train" else row["instance"])
        assert row["parity"] == ("odd" if WORDS.index(row["instance"]) % 2 else "even")
    log = pq.read_table(tmp_path / "d" / "impressions.parquet").to_pylist()
    split_of = dict(zip(table.ids, table.column("split"), strict=True))
    assert {split_of[r["image_id"]] for r in log} <= {"train", "gallery"}
    with pytest.raises(DataError, match="exists already"):
        write_digits(tmp_path / "d", simulator=simulator)


def test_without_scikit_learn(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match=r"pip install graphrise\[demo\]"):
        write_digits(tmp_path / "d")
    assert list(tmp_path.iterdir()) == []
