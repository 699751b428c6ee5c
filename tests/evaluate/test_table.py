"""Rows, Markdown and terminal show the same numbers."""

import io
import statistics
from dataclasses import replace

import pytest
from rich.console import Console

from graphrise.evaluate import format as fmt
from graphrise.evaluate.spread import spread
from graphrise.evaluate.table import header_cells, print_table, summary_rows, to_markdown


def test_rows(report):
    rows = summary_rows(report)
    assert list(rows) == ["far", "near"]
    plain, graph, third = rows["far"]
    assert (plain.is_baseline, graph.is_baseline) == (True, False)
    assert (plain.is_featured, graph.is_featured) == (False, True)
    assert graph.seeds == 3
    assert graph.metrics["recall@1"].mean == pytest.approx(0.41)
    assert graph.metrics["recall@1"].sd == pytest.approx(0.01)
    assert graph.ratio == pytest.approx(0.41 / 0.25)
    assert third.ratio == pytest.approx(0.2 / 0.25)
    assert (graph.passes, graph.passes_ratio, graph.seconds_ratio) == (1000, 1, 1)
    assert list(rows["near"][0].metrics) == ["recall@1"]


def test_a_model_that_skips_a_set_has_no_row(report):
    run = replace(report.models[2].runs[0], metrics={"far": {"recall@1": 0.5}})
    models = [*report.models[:2], replace(report.models[2], runs=[run])]
    rows = summary_rows(replace(report, models=models))
    assert [row.model for row in rows["near"]] == ["plain", "graph"]
    markdown = to_markdown(replace(report, models=models))
    assert (
        f"| a <b> & c | 50.0 | 2.00x | 1K (1.00x) | 50 s (1.00x) | 1 | {fmt.NOTHING} |" in markdown
    )


def test_markdown(report):
    lines = to_markdown(report).splitlines()
    assert lines[0] == "### far"
    assert "Another vendor. 1,540 queries scored." in lines
    assert (
        "| model | recall@1, % | vs baseline | encoder passes | training time | seeds "
        "| triplet accuracy, % |"
    ) in lines
    assert ("| graph | 41.0 ± 1.0 | 1.64x | 1K (1.00x) | 50 s (1.00x) | 3 | 90.0 ± 0.0 |") in lines
    without = header_cells(replace(report, baseline=None), "near")
    assert without == ["model", "recall@1, %", "encoder passes", "training time", "seeds"]


@pytest.mark.parametrize(("width", "all_columns"), [(160, True), (80, False)])
def test_terminal(report, width, all_columns):
    text = io.StringIO()
    print_table(report, Console(file=text, width=width, color_system=None))
    assert "41.0 ± 1.0" in text.getvalue()
    assert ("90.0 ± 0.0" in text.getvalue()) == all_columns
    said = " ".join(text.getvalue().split())
    assert ("Not shown in this width: triplet accuracy, %." in said) != all_columns
    assert max(map(len, text.getvalue().splitlines())) <= width


def test_spread():
    values = [0.1, 0.4, 0.3]
    assert spread(values).mean == pytest.approx(statistics.mean(values))
    assert spread(values).sd == pytest.approx(statistics.stdev(values))
    assert spread([0.5]).sd is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (940, "940"), (12_000, "12K"), (12_400, "12.4K"), (999_960, "1M"), (2.6e9, "2.6G")],
)
def test_count(value, text):
    assert fmt.count(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (725, "12 min 5 s"),
        (3599.9, "1 h 0 min"),
        (10_920, "3 h 2 min"),
    ],
)
def test_duration(seconds, text):
    assert fmt.duration(seconds) == text


def test_other_formats():
    assert fmt.percent(None) == fmt.ratio(None) == fmt.NOTHING
    assert fmt.statistic(24100) == "24,100"
    assert fmt.statistic(0.41321) == "0.4132"
    assert fmt.statistic("idf") == "idf"
