"""The report of a single run: one metric a row."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from graphrise.evaluate import format as fmt
from graphrise.evaluate.detail_table import (
    group_rows,
    metric_rows,
    print_details,
    remarks,
    single_run,
)
from graphrise.evaluate.details import Detail
from graphrise.evaluate.groups import GroupValue
from graphrise.evaluate.hubness import HubStatistics
from graphrise.evaluate.intervals import Interval
from graphrise.evaluate.report import render_report

FOUND = Detail(
    metrics={},
    counts={},
    intervals={"recall@1": Interval(0.24, 0.1849, 0.3, 0.95)},
    instances=1396,
    hubs=HubStatistics(k=10, skewness=1.236, never_found=0.34561, largest=77, hub=5),
    groups=tuple((f"g<{i}>", GroupValue(i / 20, 1000 + i, 0)) for i in range(13)),
)


@pytest.fixture
def single(report):
    run = replace(report.models[0].runs[0], details={"far": FOUND})
    model = replace(report.models[0], runs=[run])
    return replace(report, models=[model], baseline=None, featured=None)


def test_which_reports_are_of_a_single_run(report, single):
    assert single_run(report) is None
    assert single_run(single) is single.models[0].runs[0]
    without = replace(single.models[0].runs[0], details={})
    model = replace(single.models[0], runs=[without])
    assert single_run(replace(single, models=[model])) is None


def test_rows(single):
    run = single.models[0].runs[0]
    assert metric_rows(single, run, "far") == [
        ("recall@1", "24.0", "18.5 to 30.0"),
        ("triplet accuracy", "90.0", fmt.NOTHING),
    ]
    assert metric_rows(single, run, "near") == [("recall@1", "80.0", fmt.NOTHING)]


def test_the_worst_and_the_best_groups():
    rows = group_rows(FOUND)
    assert rows[0] == ("g<0>", "0.0", "1,000")
    assert rows[5] == ("... 3 more ...", "", "")
    assert [name for name, *_ in rows[6:]] == [f"g<{i}>" for i in range(8, 13)]
    assert [r[0] for r in group_rows(replace(FOUND, groups=FOUND.groups[:10]))] == [
        f"g<{i}>" for i in range(10)
    ]
    assert group_rows(None) == []


def test_remarks():
    said = remarks(FOUND)
    assert "bootstrap over 1,396 instances" in said
    assert "34.6 % of the gallery is among the 10 nearest of no query" in said
    assert "the largest hub among those of 77; skewness 1.24." in said
    assert "fewer than two instances" in remarks(replace(FOUND, intervals={}, instances=1))
    assert remarks(None) == ""


@pytest.mark.parametrize("width", [60, 160])
def test_terminal(single, width):
    text = io.StringIO()
    print_details(single, Console(file=text, width=width, color_system=None))
    said = " ".join(text.getvalue().split())
    for part in ("18.5 to 30.0", "90.0", "g<12> 60.0 1,012", "1,396 instances", "Another vendor."):
        assert part in said
    assert "1K encoder passes, 50 s, seed 0" in said
    assert max(map(len, text.getvalue().splitlines())) <= width


def test_markup_in_names_is_text(single):
    groups = (("[bold]x", GroupValue(0.5, 1, 0)),)
    run = replace(single.models[0].runs[0], details={"far": replace(FOUND, groups=groups)})
    text = io.StringIO()
    shown = replace(single, models=[replace(single.models[0], runs=[run])])
    print_details(shown, Console(file=text, width=80, color_system=None))
    assert "[bold]x" in text.getvalue()


def test_page(single):
    page = render_report(single)
    for cell in ("<td>18.5 to 30.0</td>", "<td>90.0</td>", 'scope="row">g&lt;12&gt;</th>'):
        assert cell in page
    assert "is among the 10 nearest of no query" in page
    assert "1K encoder passes, 50 s, seed 0" in page
    assert "standard deviation" not in page
    assert page.count("<table>") == page.count("</table>") >= 3


def test_intervals_of_other_sets_do_not_show(single):
    numbers = np.array([r[2] for r in metric_rows(single, single.models[0].runs[0], "near")])
    assert (numbers == fmt.NOTHING).all()
