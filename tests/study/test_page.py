"""A study's page and plot files: what they show, how far a study is, and nothing fetched."""

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from graphrise.study.drive import report
from graphrise.study.figures import curve_figures, effect_figures
from graphrise.study.plan import References, plan
from graphrise.study.rows import write_rows
from graphrise.study.storage import Trials, Try

VOID = {"meta", "img", "source"}
LISTED = [
    {"name": "plain", "note": "no <b>graph</b>"},
    {"name": "spread", "set": {"labels.spread": True}},
    {"name": "spread, shuffled graph", "set": {"labels.spread": True, "shuffle_graph": 0}},
]


class Tags(HTMLParser):
    """Fails on a tag that is closed in the wrong order."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


class Known(Trials):
    """Stands for the journal of a study: the last tries, as they are given."""

    def __init__(self, tries):
        self.given = tries

    def tries(self):
        return self.given


@pytest.fixture
def listed(spec):
    return spec(axes=None, runs=LISTED, baseline="plain", seeds=3)


@pytest.fixture
def written(tmp_path):
    """The page of a study, and the folder's other files."""

    def made(spec, tries, command=""):
        files = report(spec, tmp_path, Known(tries), plan(spec), command)
        return (tmp_path / "report.html").read_text(encoding="utf-8"), files

    return made


def score(run):
    return 0.4 + 0.1 * (run.name == "spread") + 0.01 * run.seed


def test_the_page_and_the_plots(listed, finished, written, tmp_path):
    tries = finished(plan(listed), score)
    page, files = written(listed, tries, "graphrise study a.yaml --out there")
    assert {p.relative_to(tmp_path).as_posix() for p in files} == {
        "runs.parquet", "cost.parquet", "curves.parquet", "table.md", "table.tex",
        "table-time.tex", "report.html",
        *(f"plots/{name}.{kind}" for name in ("effect", "curve-passes", "curve-seconds")
          for kind in ("svg", "png")),
    }  # fmt: skip
    assert all(path.stat().st_size for path in files)
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]
    assert "All 9 trainings are finished." in page
    assert "<pre>graphrise study a.yaml --out there</pre>" in page
    for shown in ("catalogue", "3, each with seeds 0, 1, 2", "train.passes: 24", "split=val"):
        assert shown in page
    assert "no &lt;b&gt;graph&lt;/b&gt;" in page
    assert "labels.spread: true; shuffle_graph: 0" in page
    assert "torch: 2" in page
    assert "Failed runs" not in page


def test_the_tables_are_those_of_the_markdown(listed, finished, written, tmp_path):
    page, _ = written(listed, finished(plan(listed), score))
    lines = (tmp_path / "table.md").read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    rows = [row for row in rows if row[0] != "---"]
    assert len(rows) == 2 * 4
    found = re.findall(r"<tr.*?</tr>", page)
    assert [re.sub(r"</t[hd]>|<[^>]*>", "|", row).strip("|") for row in found] == [
        "||".join(row) for row in rows
    ]
    assert "cannot give less than p = 0.25" in page


def test_the_upper_reference_is_named_and_measured_against(listed, finished, written, tmp_path):
    given = dataclasses.replace(listed, upper="spread")
    page, _ = written(given, finished(plan(given), score))
    assert "<dt>upper reference</dt><dd>spread</dd>" in page
    assert '<th scope="row">spread (upper)</th>' in page
    for text in (page, (tmp_path / "table.tex").read_text(encoding="utf-8")):
        assert "gap closed" in text
    assert "gap closed then" in (tmp_path / "table-time.tex").read_text(encoding="utf-8")


def test_the_page_stands_alone(listed, finished, written):
    page, _ = written(listed, finished(plan(listed), score))
    parser = Tags()
    parser.feed(page)
    assert parser.open == []
    links = [v for _, attrs in parser.seen for k, v in attrs.items() if k in ("src", "srcset")]
    assert len(links) == 6
    assert all(link.startswith("data:image/svg+xml;base64,") for link in links)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in parser.seen}
    assert "://" not in re.sub(r"data:image/[^\"]*", "", page)
    assert all(attrs.get("alt") for tag, attrs in parser.seen if tag == "img")


def test_a_study_in_the_middle(listed, finished, written, waiting):
    tries = finished(plan(listed), score)
    error = "Traceback\n  <in> train\nValueError: loss is not finite"
    tries["spread", 1] = Try(9, "failed", "", 2, 0, error, {})
    tries["spread", 2] = tries["plain", 2] = waiting
    page, _ = written(listed, tries)
    assert "Not finished: 3 of 9 trainings are missing, 1 of them failed; the same command" in page
    assert 'spread, seed 1: <span class="bad">ValueError: loss is not finite</span>' in page
    assert "Tried 2 times." in page
    assert "&lt;in&gt; train" in page


def test_settings_are_shared_or_of_a_run(listed, finished, written):
    page, _ = written(listed, finished(plan(listed), score))
    own, common = page.split("<summary>All settings</summary>")[1].split("The same in all runs")
    assert own.count("labels.spread: true") == 2
    assert own.count("labels.spread: false") == 1
    assert own.count("shuffle_graph: by the seed") == 1
    assert "train.passes: 24" in common
    assert "graph.coclick.top_k: " in common
    assert "labels.spread: " not in common
    assert "train.seed" not in page


def test_figures_of_a_grid(spec, finished, tmp_path):
    given = spec(axes={"labels.spread": [False, True], "edges.alpha": [0, 1], "train.lr": [0.1]})
    given = dataclasses.replace(given, baseline="spread=true, alpha=1, lr=0.1")
    runs = plan(given)
    tries = finished(runs, lambda r: 0.4 + 0.2 * r.axes["labels.spread"])
    spread, alpha = effect_figures(given, runs, tries)
    assert (spread.name, alpha.name) == ("effect-labels.spread", "effect-edges.alpha")
    # Against the baseline's values.
    assert spread.alt == (
        "difference in recall@1 to spread=true on split=query, points: false -20.0"
    )
    assert "to alpha=1 on" in alpha.alt


def test_no_figure_without_what_it_shows(listed, finished, tmp_path):
    runs = plan(listed)
    tries = finished(runs, score)
    assert effect_figures(dataclasses.replace(listed, baseline=None), runs, tries) == []
    for one in tries.values():
        one.result["curve"].clear()
    write_rows(tmp_path, runs, tries)
    assert curve_figures(tmp_path / "curves.parquet", "split=val", References()) == []
    assert curve_figures(tmp_path / "curves.parquet", None, References()) == []


def test_a_study_without_validation_and_baseline(spec, finished, written):
    given = spec(baseline=None, validation=None, axes={"evaluate.queries": [["split=query"]]})
    runs = plan(given)
    assert runs[0].validation is None
    page, files = written(given, finished(runs, score))
    assert not [path for path in files if path.suffix == ".svg"]
    assert "Effects" not in page
    assert "Over training" not in page
    assert "<dt>validation set</dt><dd>none</dd>" in page
