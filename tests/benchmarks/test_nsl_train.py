"""Case `nsl`: what the peer is given, and how the two are held against each other."""

import dataclasses
import json
import shutil
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import nsl_train
from benchmarks.__main__ import main
from benchmarks.nsl_batches import built, write_batches
from graphrise.config import EdgeConfig, GraphConfig
from graphrise.errors import ConfigError
from graphrise.graph.build import build_graph
from graphrise.train.schedule import rate


@pytest.fixture
def config(make):
    recipe = make.small_run(edges={"alpha": 1.0}, images={"scale": 0.2, "colour": 0.1})
    train = dataclasses.replace(recipe.train, passes=None, epochs=3.0, precision="32-true")
    return dataclasses.replace(recipe, train=train)


@pytest.fixture
def graph(dataset):
    return build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)


def arrays(folder):
    return {file.stem: np.load(file) for file in folder.glob("*.npy")}


def test_batches_are_those_of_the_run(dataset, graph, config, tmp_path):
    first = write_batches(dataset, graph, config, tmp_path)
    data, module = built(dataset, graph, config)
    found, settings = arrays(tmp_path), json.loads((tmp_path / "batches.json").read_text())
    ends, at = found["ends"], 0
    assert ends[-1] == 3 * data.num_labelled == len(found["images"])
    assert settings["lr"][0] == config.train.lr * rate(config.train, 0.0)
    assert len(settings["lr"]) == len(ends)
    loader = data.train_dataloader()
    for epoch in range(3):
        loader.set_epoch(epoch)
        for batch in loader:
            part = slice(at, at := at + batch.batch_size)
            assert at in ends
            shown = module.augment(batch["x"], batch["augment"]).permute(0, 2, 3, 1)
            pixels = (shown * 127.5 + 127.5).round().to(torch.uint8).numpy()
            assert np.array_equal(found["images"][part], pixels[: batch.batch_size])
            assert np.array_equal(found["nodes"][part], batch.n_id[: batch.batch_size])
            assert np.array_equal(found["labels"][part][batch.label_row], batch.label_index)
            image, neighbor = batch.edge_index.numpy()
            assert np.array_equal(np.flatnonzero(found["present"][part]), np.sort(image))
            assert np.array_equal(found["neighbors"][part][image], pixels[neighbor])
            assert np.array_equal(found["neighbor_nodes"][part][image], batch.n_id[neighbor])
    assert 0 < first < 20


def test_weights_are_those_that_training_begins_with(dataset, graph, config, tmp_path):
    write_batches(dataset, graph, config, tmp_path)
    _, module = built(dataset, graph, config)
    head: Any = module.head
    with np.load(tmp_path / "weights.npz") as found:
        assert np.array_equal(found["head.weight"], head.weight.detach().numpy())
        names = {name for name in found.files if name != "head.weight"}
        for name, value in module.encoder.state_dict().items():
            assert name in names or name.endswith("num_batches_tracked")
            if name in names:
                assert np.array_equal(found[name], value.numpy())


class Sets:
    """Image sets that give every encoder the same score."""

    config = SimpleNamespace(queries=("a=1", "a=2", "a=3"))

    def scores(self, encoder, queries):
        assert not encoder.training
        return {where: SimpleNamespace(metrics={"recall@1": 0.25}) for where in queries}


def peer(dataset, graph, config, folder, first):
    sets: Any = Sets()
    return nsl_train._Peer(folder / "python", folder, first, dataset, graph, config, sets)


def answering(folder, **told):
    """What the peer's process would do: weights as they were, and a line of JSON."""

    def run(command, **_):
        assert command[2] == folder
        shutil.copy(folder / "weights.npz", folder / "trained.npz")
        answer = {"labelled_a_second": 9.0, "peak_mib": 7.0, "nsl": "1", "tensorflow": "2", **told}
        return SimpleNamespace(stdout=f"noise\n{json.dumps(answer)}\n")

    return run


def test_the_peer_is_judged_by_our_code(dataset, graph, config, tmp_path, monkeypatch):
    first = write_batches(dataset, graph, config, tmp_path)
    run = answering(tmp_path, first_loss=first)
    monkeypatch.setattr(nsl_train.subprocess, "run", run)
    found = peer(dataset, graph, config, tmp_path, first).run(distance="l2", multiplier=2.0)
    assert found == ({"a=2": 0.25, "a=3": 0.25}, 9.0, 7.0)
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert (settings["multiplier"], settings["own_input"], settings["side"]) == (2.0, False, 16)


def test_a_peer_of_another_network_is_refused(dataset, graph, config, tmp_path, monkeypatch):
    first = write_batches(dataset, graph, config, tmp_path)
    run = answering(tmp_path, first_loss=first + 0.01)
    monkeypatch.setattr(nsl_train.subprocess, "run", run)
    with pytest.raises(ConfigError, match="it trains another network"):
        peer(dataset, graph, config, tmp_path, first).run(distance="l2", multiplier=1.0)


def test_the_best_on_validation_is_chosen():
    scores = iter([0.2, 0.5, 0.3, 0.4, 0.1, 0.45, 0.0])

    class Peer:
        sets = Sets()

        def run(self, **settings):
            # The last set, the test set, would choose another.
            value = next(scores)
            return {"a=2": value, "a=3": 1 - value}, 1.0, 1.0

    peer: Any = Peer()
    assert nsl_train._choose(peer) == nsl_train.SWEPT[1]


def test_models_differ_in_what_they_are_named_after():
    recipe = nsl_train._recipe(880)
    ours = nsl_train._ours(recipe)
    assert recipe.train.epochs == 40
    assert ours["edge term"] == recipe
    assert ours["cross-entropy"] == dataclasses.replace(recipe, edges=EdgeConfig(alpha=0.0))
    assert ours["spread labels"].labels.spread
    assert ours["spread labels"].train.passes == 40 * 1_396
    assert {model.train.threads for model in ours.values()} == {None}


def test_rates_are_held_against_equal_work():
    names = ["cross-entropy", "edge term", "edge term, bfloat16", *nsl_train._theirs(("l2", 3.0))]
    found = {}
    for number, name in enumerate(names, 1):
        found[name] = nsl_train.Found()
        found[name].add({"a=3": number / 100}, 10.0 * number, 5.0)
    rows = nsl_train._rows(found, nsl_train._recipe(880), 880, 1)
    against = {row.variant: row.baseline for row in rows if row.unit == "images/s"}
    assert against["cross-entropy"] == nsl_train.PLAIN
    assert against["edge term"] == "NSL, l2 x 3, own input"
    assert against["edge term, bfloat16"] == "NSL, l2 x 3, own input"
    assert {row.baseline for row in rows if row.unit == "%"} == {"NSL, l2 x 3"}


def test_without_an_interpreter_it_says_what_it_needs(tmp_path, capsys):
    assert main(["nsl", "--out", str(tmp_path)]) == 1
    assert "--nsl PYTHON" in capsys.readouterr().err
