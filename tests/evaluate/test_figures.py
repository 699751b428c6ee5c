"""Which figures a report has, and the files they make."""

from dataclasses import replace

import pytest

from graphrise.evaluate.figures import bars, curves, degrees, margins, write_figures


def test_every_part_of_the_report_has_its_figure(report):
    names = [f.name for group in (bars, curves, margins, degrees) for f in group(report)]
    assert set(names) == {
        "recall@1-far",
        "recall@1-near",
        "curve-loss",
        "curve-recall@1",
        "triplet-margin",
        "degrees",
    }
    assert len(names) == 6


def test_no_figure_without_data(report, models):
    run = replace(models[0].runs[0], curve=(), margin_curve=None)
    one = replace(models[0], runs=[run])
    bare = replace(report, models=[one], baseline=None, featured=None, degree_counts=())
    assert [g(bare) for g in (bars, curves, margins, degrees)] == [[], [], [], []]


def test_files(report, tmp_path):
    files = write_figures(tmp_path / "plots", report)
    assert sorted(f.name for f in files) == sorted(p.name for p in (tmp_path / "plots").iterdir())
    for file in files:
        head = file.read_bytes()[:200]
        assert head.startswith(b"\x89PNG") if file.suffix == ".png" else b"<?xml" in head
    assert (tmp_path / "plots" / "retrieval.png").read_bytes() == report.retrieval_grid


@pytest.mark.parametrize("name", ["path=a/b", "name=../up", "label=x y"])
def test_names_of_sets_make_safe_file_names(report, name):
    sets = [replace(s, name=name) if s.name == "far" else s for s in report.query_sets]
    renamed = [
        replace(
            m,
            runs=[
                replace(r, metrics={name: r.metrics["far"], "near": r.metrics["near"]})
                for r in m.runs
            ],
        )
        for m in report.models
    ]
    changed = replace(report, models=renamed, query_sets=sets, test_set=name)
    assert all("/" not in f.name and " " not in f.name for f in bars(changed))
