"""The page as a whole: numbers shown, nothing fetched, written at once or not at all."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from graphrise.evaluate import report as report_module
from graphrise.evaluate.report import render_report, write_report

VOID = {"meta", "img", "source", "br", "link"}


class Balance(HTMLParser):
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


def parsed(page):
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    return parser.seen


def test_shows_the_numbers(report):
    page = render_report(report).replace("\N{NO-BREAK SPACE}", " ")
    assert (
        "graph reaches 1.64x the recall@1 of plain on far: 41.0 ± 1.0 % against 25.0 ± 1.0 %."
        in page
    )
    assert "Every seed of graph lies above every seed of plain." in page
    for cell in ("41.0 ± 1.0", "20.0 ± 10.0", "1K (1.00x)", "50 s (1.00x)", "90.0 ± 0.0", "1.64x"):
        assert f"<td>{cell}</td>" in page
    assert "Another vendor. 1,540 queries scored." in page
    assert "Not held out. In the graph: transductive." in page
    assert "24,100" in page
    assert "0.4132" in page
    assert "graphrise demo --seeds 3" in page
    assert "graphrise 0.0.1" in page
    assert "&#34;epochs&#34;: 40" in page
    assert "<p>Second.</p>" in page


def test_stands_alone(report):
    page = render_report(report)
    tags = parsed(page)
    links = [v for _, attrs in tags for k, v in attrs.items() if k in {"src", "href", "srcset"}]
    assert len(links) >= 10
    assert all(link.startswith("data:image/") for link in links)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags}
    assert "://" not in re.sub(r"data:image/[^\"]*", "", page)
    assert "url(" not in page
    assert "@import" not in page
    assert all(attrs.get("alt") for tag, attrs in tags if tag == "img")


def test_escapes_names(report):
    page = render_report(report)
    assert "a &lt;b&gt; &amp; c" in page
    assert "<b>" not in page


def test_one_model_with_one_seed(report, models):
    run = replace(models[0].runs[0], curve=(), margin_curve=None)
    single = replace(
        report,
        models=[replace(models[0], runs=[run])],
        baseline=None,
        featured=None,
        graph_statistics={},
        degree_counts=(),
        retrieval_grid=None,
    )
    page = render_report(single).replace("\N{NO-BREAK SPACE}", " ")
    assert "plain: recall@1 24.0 % on far." in page
    assert "One seed only" in page
    assert "vs baseline" not in page
    for absent in ("<img", "Learning curves", "The graph", "What a search finds"):
        assert absent not in page
    parsed(page)


def test_same_report_same_page(report):
    assert render_report(report) == render_report(report)


def test_writes_at_once(report, tmp_path, monkeypatch):
    path = write_report(tmp_path / "new" / "report.html", report)
    first = path.read_text(encoding="utf-8")
    assert first == render_report(report)

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(report_module.os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        write_report(path, replace(report, title="other"))
    assert path.read_text(encoding="utf-8") == first
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
