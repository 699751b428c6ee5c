"""Rows of a benchmark: direction of the ratio, spread, and the file."""

import csv
import json

import numpy as np
import pytest

from benchmarks.rows import PACKAGES, Row, show, write_csv, write_jsonl
from graphrise.train import folder


def row(**changes):
    values = {
        "case": "train",
        "variant": "ours",
        "metric": "recall@1",
        "values": [40.0, 44.0, 42.0],
        "unit": "%",
        "baseline": "cross-entropy",
        "baseline_values": [28.0, 30.0, 26.0],
        "peak_mib": 812.34,
        "size": "tiny",
    }
    return Row(**(values | changes))


def test_better_is_above_one_in_both_directions():
    assert row().ratio == pytest.approx(42 / 28)
    assert row(unit="s", higher_is_better=False).ratio == pytest.approx(28 / 42)


def test_a_baseline_of_zero_has_no_ratio():
    assert np.isnan(row(baseline_values=[0.0]).ratio)


def test_fields_are_those_of_the_contract():
    found = row().to_dict()
    for name in ("case", "variant", "metric", "unit", "baseline", "size", "machine", "versions"):
        assert found[name]
    assert found["value"] == 42
    assert found["p20"] < 42 < found["p80"]
    assert found["baseline_value"] == 28
    assert found["sd"] == pytest.approx(2.0)
    assert found["repetitions"] == 3
    assert found["peak_mib"] == 812.3
    assert row(values=[1.0]).to_dict()["sd"] is None


def test_one_json_object_a_line(tmp_path):
    write_jsonl([row(), row(variant="other")], tmp_path / "out" / "rows.jsonl")
    lines = (tmp_path / "out" / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["variant"] for line in lines] == ["ours", "other"]
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["rows.jsonl"]


def test_the_table_shows_values_and_ratio(capsys):
    show([row()])
    assert "42.00" in (out := capsys.readouterr().out)
    assert "1.50" in out


def test_long_names_are_whole_where_the_table_is_piped(capsys):
    name = "ArcFace, spread labels, shuffled graph"
    show([row(variant=name, metric="recall@1 vendor=facebook")])
    assert any(name in x and "vendor=facebook" in x for x in capsys.readouterr().out.splitlines())


def test_one_row_a_line_of_csv(tmp_path):
    write_csv([row(), row(variant="other")], tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [line["variant"] for line in found] == ["ours", "other"]
    assert float(found[0]["value"]) == 42
    assert "torch=" in found[0]["versions"]


def test_training_cases_name_what_a_run_folder_names():
    assert set(PACKAGES["train"]) == set(folder.PACKAGES)
