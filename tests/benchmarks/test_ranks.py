"""Case `ranks`: equal batches whatever the number of processes, and its rows."""

import dataclasses
from types import SimpleNamespace

import pytest

from benchmarks import ranks
from benchmarks.__main__ import main
from graphrise.errors import GraphriseError


def test_runs_differ_in_processes_only():
    one, four = ranks.config_of(1, 500), ranks.config_of(4, 500)
    assert four.train.batch_size * 4 == one.train.batch_size
    train = dataclasses.replace(four.train, devices=1, batch_size=one.train.batch_size)
    assert dataclasses.replace(four, train=train) == one
    assert one.head.kind == "sampled"


def test_rows(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ranks, "prepare_data", lambda *_, **__: {"part": tmp_path})
    monkeypatch.setattr(ranks, "_trained", lambda out, dataset, count, passes: count)
    results = {n: SimpleNamespace(passes=100 * n, seconds=10.0, peak_mib=5.0 * n) for n in (1, 2)}
    monkeypatch.setattr(ranks, "read_run", lambda count: (None, None, results[count]))
    rows = ranks.run(tmp_path, [1, 2], 500, 3)
    assert [(row.values, row.ratio, row.peak_mib) for row in rows] == [
        ([10.0] * 3, 1.0, 5.0),
        ([20.0] * 3, 2.0, 10.0),
    ]
    assert main(["ranks", "--ranks", "1", "2", "--out", str(tmp_path)]) == 0
    assert "2 processes" in capsys.readouterr().out


def test_a_failed_run_says_why(tmp_path):
    with pytest.raises(GraphriseError, match=r"1 processes failed: .*graph"):
        ranks._trained(tmp_path, tmp_path / "nothing", 1, 500)
