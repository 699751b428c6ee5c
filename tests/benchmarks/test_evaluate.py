"""Case `evaluate`, small: the ways agree, and the rows of both parts."""

import numpy as np
import pytest

pytest.importorskip("faiss")

from benchmarks import evaluate
from benchmarks.__main__ import main
from benchmarks.child import Missing
from graphrise.evaluate import search_blocks
from graphrise.ops.knn import knn

SIZE = evaluate.Size(gallery=3_000, streamed=5_000, queries=40, dim=8, k=5)


def test_both_parts(tmp_path):
    rows = evaluate.run(tmp_path, SIZE, evaluate.PARTS, 1)
    assert [row.metric for row in rows] == [
        *["queries searched"] * 4,
        "peak memory, mapped pages included",
        "time",
    ]
    assert all(row.values[0] > 0 for row in rows)
    assert {row.baseline for row in rows[:4]} == {evaluate.BARE}
    assert list(tmp_path.iterdir()) == []


def test_the_ways_find_the_same(tmp_path):
    mapped = evaluate.write_vectors(tmp_path / "gallery.npy", 3_000, 8)
    queries = evaluate.made_queries(SIZE)
    bare = evaluate._bare(np.array(mapped), queries, 5)()
    for found in (knn(queries, np.array(mapped), 5), search_blocks(queries, mapped, 5)):
        assert np.array_equal(found[1], bare[1])


def test_vectors_do_not_repeat_between_blocks(tmp_path):
    rows = (1 << 18) + 3
    vectors = evaluate.write_vectors(tmp_path / "gallery.npy", rows, 2)
    assert len(np.unique(vectors[:, 0])) > 0.99 * rows


def test_a_machine_too_small_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "answer", lambda *_, **__: Missing("killed, it needs 4.0 GiB"))
    few = ["--streamed", "2000", "--queries", "10", "--dim", "4"]
    assert main(["evaluate", "--only", "stream", *few, "--out", str(tmp_path)]) == 0
    assert "killed" in capsys.readouterr().out.replace("\n", " ")
