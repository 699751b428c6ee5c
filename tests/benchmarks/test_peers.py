"""Case `peers`: what is trained, what is kept, and what its rows say."""

import dataclasses
import math
import re
from typing import Any

import pytest

from benchmarks import peers
from benchmarks.__main__ import main
from benchmarks.child import Missing
from benchmarks.peers_losses import Peer
from benchmarks.peers_ways import CHOSEN, SHUFFLED, SPREAD, TRIED
from graphrise.config import RunConfig, from_dict
from graphrise.errors import ConfigError

PASSES = 900
WAYS = {way.name: way for way in peers.ways(peers._recipe(PASSES))}
BASE = WAYS["cross-entropy"]


def test_unknown_names_and_no_seed(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["peers", "--out", str(out), "--only", "pears"]) == 1
    assert "no way ['pears']; there are ['cross-entropy', 'ArcFace'" in capsys.readouterr().err
    assert main(["peers", "--out", str(out), "--sweep", "--only", "edge term"]) == 1
    assert "no peer ['edge term']; there are ['ArcFace'" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="seeds must be at least 1, got 0"):
        peers.run(out, 0, PASSES)
    assert not out.exists()


def test_all_share_encoder_pictures_budget_and_judge():
    assert next(iter(WAYS)) == BASE.name
    assert len({way.slug for way in WAYS.values()}) == len(WAYS)
    kept = ("images", "encoder", "train", "evaluate")
    for way in WAYS.values():
        assert all(getattr(way.config, n) == getattr(BASE.config, n) for n in kept)
    assert BASE.config.evaluate.queries == ("vendor=facebook", "vendor=fluent")
    assert BASE.config.train.passes == PASSES


def test_peers_have_the_labels_that_their_names_say():
    given = [way for way in WAYS.values() if way.peer and SPREAD not in way.name]
    assert {way.name for way in given} == {n for n in TRIED if SPREAD not in n}
    assert all(way.config == BASE.config for way in given)
    top = WAYS["spread labels, top label"].config
    assert (top.labels.spread, top.labels.spread_top) == (True, 1)
    assert dataclasses.replace(top, labels=WAYS["spread labels"].config.labels) == (
        WAYS["spread labels"].config
    )
    spread = [way for way in WAYS.values() if way.peer and way.name.endswith(SPREAD)]
    assert [way.config for way in spread] == [top, top, top]
    for name, way in WAYS.items():
        if way.peer:
            assert way.peer in TRIED[name.removesuffix(SHUFFLED)]


def test_every_way_with_a_graph_has_its_control():
    def uses_graph(config):
        return config.labels.spread or config.edges.used

    for name, way in WAYS.items():
        if name.endswith(SHUFFLED):
            of = WAYS[name.removesuffix(SHUFFLED)]
            assert way.config == dataclasses.replace(of.config, shuffle_graph=0)
            assert way.peer == of.peer
        else:
            assert (name + SHUFFLED in WAYS) == uses_graph(way.config)


def test_pairs_have_two_images_of_a_label_or_more():
    for tried in TRIED.values():
        for peer in tried:
            assert (peer.per_label > 1) == (peer.loss in ("MultiSimilarityLoss", "SupConLoss"))
            assert peer.batch % peer.per_label == 0
    assert set(CHOSEN) == set(TRIED)


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """Settings of every process that would have been started; SupCon's says that it is missing."""
    seen: list[dict[str, Any]] = []

    def answer(module, settings, need):
        seen.append(settings)
        config = from_dict(RunConfig, settings["config"])
        peer = settings["peer"]
        if peer and peer["loss"] == "SupConLoss":
            return Missing("no library")
        # The second setting of ArcFace is the best.
        score = 0.5 if peer and peer["options"].get("margin") == 28.6 else 0.25
        return {
            "recall@1": dict.fromkeys(config.evaluate.queries, score + config.train.seed / 10),
            "rate": 1000.0,
            "seconds": 2.0,
            "passes": config.train.passes,
            "peak_mib": 700.0,
        }

    monkeypatch.setattr(peers, "answer", answer)
    monkeypatch.setattr(peers, "prepare_data", lambda *_, **__: {"part": tmp_path / "emoji"})
    return seen


def test_seeds_come_in_turn_and_finished_runs_are_used_again(calls, tmp_path):
    only = ["ArcFace", "edge term, shuffled graph"]
    rows = peers.run(tmp_path, 2, PASSES, only)
    configs = [from_dict(RunConfig, one["config"]) for one in calls]
    assert [one.train.seed for one in configs] == [0, 0, 0, 1, 1, 1]
    assert [one.shuffle_graph for one in configs] == [None, None, 0, None, None, 1]
    assert Peer(**calls[1]["peer"]) == WAYS["ArcFace"].peer
    assert peers.run(tmp_path, 2, PASSES, only) == rows
    assert len(calls) == 6
    peers.run(tmp_path, 2, PASSES + 1, only)
    assert len(calls) == 12


def test_rows_have_quality_speed_time_and_memory(calls, tmp_path, monkeypatch):
    monkeypatch.setitem(CHOSEN, "ArcFace", 0)
    rows = peers.run(tmp_path, 2, PASSES, ["ArcFace"])
    assert {(row.case, row.baseline) for row in rows} == {("peers", "cross-entropy")}
    found = {(row.variant, row.metric): row for row in rows}
    assert found["ArcFace", "recall@1 vendor=fluent"].values == pytest.approx([25, 35])
    assert found["ArcFace", "training throughput"].values == [1000, 1000]
    assert found["ArcFace", "peak memory"].values == [700, 700]
    assert str(TRIED["ArcFace"][0]) in found["ArcFace", "training time"].size
    higher = {row.metric for row in rows if row.higher_is_better}
    quality = {"recall@1 vendor=facebook", "recall@1 vendor=fluent"}
    assert higher == quality | {"training throughput"}
    assert rows[0].to_dict()["versions"]["pytorch-metric-learning"]


def test_a_missing_peer_is_a_row(calls, tmp_path, capsys):
    rows = peers.run(tmp_path, 2, PASSES, ["SupCon"])
    missing = [row for row in rows if row.variant != BASE.name]
    assert {row.variant for row in missing} == {"SupCon: 2 of 2 MISSING, no library"}
    assert all(math.isnan(*row.values) for row in missing)
    assert "SupCon, seed 1: missing (no library)" in capsys.readouterr().out
    # It is looked for again the next time.
    peers.run(tmp_path, 2, PASSES, ["SupCon"])
    assert len(calls) == 6


def test_the_sweep_prints_the_best_of_each_and_never_asks_the_test_vendor(calls, tmp_path, capsys):
    rows = peers.sweep(tmp_path, PASSES)
    configs = [from_dict(RunConfig, one["config"]) for one in calls]
    assert {one.evaluate.queries for one in configs} == {("vendor=facebook",)}
    assert {(one.train.passes, one.train.seed) for one in configs} == {(300, 0)}
    assert len(calls) == 1 + sum(map(len, TRIED.values()))
    assert not any("fluent" in row.metric for row in rows)
    out = capsys.readouterr().out
    block = out[out.index("CHOSEN: dict[str, int] = ") :].removeprefix("CHOSEN: dict[str, int] = ")
    best = {name: int(at) for name, at in re.findall(r'"(.*)": (\d),', block)}
    assert set(best) == {
        name for name in TRIED if "SupCon" not in name
    }  # all of its settings were missing
    assert best["ArcFace"] == 1
    assert best["Proxy-Anchor"] == 0
    assert '"ArcFace": 1,  # facebook: 25.0, 50.0, 25.0, 50.0, 50.0' in block
    assert "# SupCon:  # facebook: missing, missing, missing, missing, missing" in block


def test_the_sweep_of_some(calls, tmp_path):
    rows = peers.sweep(tmp_path, PASSES, ["ArcFace"])
    assert {row.variant for row in rows} == {
        f"ArcFace, setting {n}" for n in range(len(TRIED["ArcFace"]))
    }
    assert len(calls) == 1 + len(TRIED["ArcFace"])
