"""Case `heads`: which heads are trained, and what each is held against."""

import dataclasses
from types import SimpleNamespace
from typing import Any, cast

from benchmarks import heads
from benchmarks.__main__ import main
from benchmarks.rows import Row
from graphrise.demo.drive import with_passes
from graphrise.demo.variants import BASELINE, FEATURED, Trained
from graphrise.recipes import RECIPES
from graphrise.train.folder import RunResult

MODELS = heads._heads(with_passes(RECIPES["emoji"](), 1000))


def test_an_unknown_name(tmp_path, capsys):
    assert main(["heads", "--out", str(tmp_path / "out"), "--only", "pears"]) == 1
    assert "no head ['pears']; there are ['cross-entropy" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_only_heads_and_spread_labels_differ():
    assert len({m.name for m in MODELS}) == len({m.slug for m in MODELS}) == len(MODELS)
    base = MODELS[0].config
    assert base.head.kind == "full"
    for model in MODELS:
        spread = model.name == FEATURED or model.name.startswith(heads.SPREAD)
        assert model.config.labels.spread == spread
        same = dataclasses.replace(model.config, head=base.head, labels=base.labels)
        assert same == base
        assert (model.config.head.kind == "full") == (model.name in (BASELINE, FEATURED))
    configs = [m.config for m in MODELS]
    assert all(configs.count(config) == 1 for config in configs)


def test_every_head_is_held_against_the_full_one_of_its_labels(tmp_path, monkeypatch):
    def demo_runs(out, models, **settings):
        return [Trained(m, [cast(Any, (m, 0))]) for m in models], out

    def rows_of(report, model, peak, size, *, baseline):
        common: dict[str, Any] = {"case": "train", "variant": model.name, "baseline": baseline}
        values: dict[str, Any] = {"values": [1.0], "baseline_values": [2.0], "peak_mib": peak}
        return [Row(metric=m, unit=u, **common, **values) for m, u in (("r", "%"), ("t", "s"))]

    report = SimpleNamespace(models=[SimpleNamespace(name=m.name) for m in MODELS])
    monkeypatch.setattr(heads, "demo_runs", demo_runs)
    monkeypatch.setattr(heads, "read_run", lambda run: (None, None, RunResult(0, 0, 7.0, [], [])))
    monkeypatch.setattr(heads, "compare", lambda *_: report)
    monkeypatch.setattr(heads, "write_report", lambda *_: None)
    monkeypatch.setattr(heads, "rows_of", rows_of)
    rows = heads.run(tmp_path, 1, 1000)
    assert {(row.case, row.unit) for row in rows} == {("heads", "%")}
    against = {row.variant: row.baseline for row in rows}
    assert against["spread labels, uniform, 512 negatives"] == FEATURED
    assert against["uniform, 512 negatives"] == BASELINE
    assert len(rows) == len(MODELS)
