"""Case `head`, part `files`, small: its rows, what is missing, and that no file is left."""

import json
import math
import os

import pytest
import torch

from benchmarks import child, head, head_files, head_files_worker, head_worker
from benchmarks.__main__ import main
from graphrise.nn.heads import load_table

SIZE = head.Size(labels=900, dim=8, batch=6, negatives=40, steps=4)
OURS = [f"ours, {dtype}, 900 labels" for dtype in ("float32", "bfloat16")]
COMPUTED = "weights and sums, computed"


@pytest.fixture
def here(monkeypatch):
    """Children's work is done in this process; gives what was asked of them."""
    asked = []

    def answer(module, settings, need_gib):
        assert module == "benchmarks.head_files_worker"
        asked.append((settings["task"], settings["dtype"], need_gib))
        return head_files_worker.measure(head_files_worker.Work(**json.loads(json.dumps(settings))))

    monkeypatch.setattr(head_files, "answer", answer)
    # Of all that others write, which a test need not wait for.
    monkeypatch.setattr(os, "sync", lambda: None)
    return asked


def test_rows(here, tmp_path):
    rows = head_files.run(tmp_path / "out", SIZE, 2)
    assert [(r.variant, r.metric, r.unit, r.baseline, len(r.values)) for r in rows] == [
        (ours, *of, 2)
        for ours in OURS
        for of in (
            ("save", "s", "bare write of as many bytes"),
            ("peak memory, saving", "MiB", COMPUTED),
            ("load", "s", "bare read of as many bytes"),
            ("peak memory, loading", "MiB", COMPUTED),
            ("open", "s", "loading"),
            ("peak memory, opened", "MiB", COMPUTED),
        )
    ]
    for row in rows:
        found = json.loads(json.dumps(row.to_dict()))
        assert found["value"] > 0
        assert found["baseline_value"] > 0
        assert found["ratio"] == pytest.approx(found["baseline_value"] / found["value"])
        assert found["peak_mib"] > 50
    assert rows[1].baseline_values == [900 * 36 / 2**20]
    assert rows[9].baseline_values == [900 * 20 / 2**20]
    assert rows[4].baseline_values == rows[2].values
    assert [task for task, _, _ in here] == ["save", "load", "open"] * 4
    needs = [need - head.OTHER_GIB for _, _, need in here[:3]]
    assert needs == pytest.approx([900 * 36 / 2**30, 900 * 36 / 2**30, 0])
    assert list((tmp_path / "out").iterdir()) == []


def test_a_part_of_the_case(here, monkeypatch, tmp_path):
    def alone(module, settings, need_gib):
        return head_worker.measure(head_worker.Work(**settings))

    monkeypatch.setattr(head, "answer", alone)
    sizes = ["--labels", "900", "--dim", "8", "--batch", "6", "--negatives", "40"]
    options = [*sizes, "--repetitions", "1", "--out", str(tmp_path), "--json", str(tmp_path / "j")]
    assert main(["head", "--only", "files", *options]) == 0
    rows = [json.loads(line) for line in (tmp_path / "j").read_text().splitlines()]
    assert [row["variant"] for row in rows] == ["import alone", *(6 * OURS[:1]), *(6 * OURS[1:])]
    assert {row["case"] for row in rows} == {"head"}
    assert len(here) == 6


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_saved_has_been_trained(here, tmp_path, dtype):
    folder = str(tmp_path / "table")
    common = {"folder": folder, "dtype": dtype, "labels": 900, "dim": 8, "batch": 6}
    saved = head_files_worker.measure(head_files_worker.Work(task="save", negatives=40, **common))
    table = load_table(tmp_path / "table", verify=True)
    assert (table.num_labels, table.dim) == (900, 8)
    assert table.weight.dtype == getattr(torch, dtype)
    assert 40 <= int((table.state > 0).sum()) < 900
    assert [p.name for p in tmp_path.iterdir()] == ["table"]  # without the bare copy
    for task in ("load", "open"):
        found = head_files_worker.measure(head_files_worker.Work(task=task, negatives=40, **common))
        assert found["shown"] == saved["shown"]
        assert math.isnan(found["bare"]) == (task == "open")
    # Training on what was opened or loaded has not changed it.
    load_table(tmp_path / "table", verify=True)


def test_too_small_a_disk_is_in_the_rows(here, monkeypatch, tmp_path, capsys):
    def usage(path):
        return type("Usage", (), {"free": 2**14})()

    monkeypatch.setattr(head_files.shutil, "disk_usage", usage)
    rows = head_files.run(tmp_path, SIZE, 1)
    missing = ": MISSING, needs 0.0 GiB of disk, 0.0 GiB free"
    assert {row.variant for row in rows} == {ours + missing for ours in OURS}
    assert all(math.isnan(value) for row in rows for value in row.values)
    assert here == []
    told = capsys.readouterr().out.splitlines()
    assert [line.split(" (")[0] for line in told] == [
        f"missing: save, {dtype}, 900 labels" for dtype in ("float32", "bfloat16")
    ]


def test_too_little_memory_is_in_the_rows(here, monkeypatch, tmp_path):
    real = head_files.answer

    def answer(module, settings, need_gib):
        if settings["task"] == "load":
            return child.Missing("needs 9.0 GiB, 1.0 GiB available")
        return real(module, settings, need_gib)

    monkeypatch.setattr(head_files, "answer", answer)
    rows = head_files.run(tmp_path, SIZE, 1)
    missing = [row for row in rows if "MISSING, needs 9.0 GiB" in row.variant]
    assert [row.metric for row in missing] == ["load", "peak memory, loading"] * 2
    assert not math.isnan(rows[4].values[0])
    assert math.isnan(rows[4].baseline_values[0])


def test_rows_that_come_back_otherwise_are_an_error(here, monkeypatch, tmp_path):
    seen = iter(range(9))
    monkeypatch.setattr(head_files_worker, "_shown", lambda table: str(next(seen)))
    with pytest.raises(ArithmeticError, match="float32: rows came back otherwise"):
        head_files.run(tmp_path, SIZE, 1)
    assert list(tmp_path.iterdir()) == []


def test_files_are_read_where_the_system_cannot_forget_them(here, monkeypatch, tmp_path):
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    assert len(head_files.run(tmp_path, SIZE, 1)) == 12
