"""Case `peers`: batches, losses and the plain loop that trains by them."""

import dataclasses
import itertools
import json
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import peers_batches, peers_worker
from benchmarks.nsl_batches import built
from benchmarks.peers_loop import NotFinite, fit
from benchmarks.peers_losses import Peer
from benchmarks.peers_parts import ours, theirs
from benchmarks.peers_ways import TRIED
from graphrise.config import GraphConfig, to_dict
from graphrise.graph.build import build_graph
from graphrise.images.reader import ImageReader
from graphrise.loader.augment import Augment
from graphrise.nn.encoder import load_encoder
from graphrise.train.run import train

PEERS = {
    peer.loss: dataclasses.replace(peer, batch=6, per_label=min(peer.per_label, 2))
    for peer, *_ in TRIED.values()
}


@pytest.fixture
def graph(dataset):
    return build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)


@pytest.fixture(params=PEERS)
def peer(request):
    return PEERS[request.param]


def test_distinct_batches_hold_every_image_once_an_epoch():
    batches = peers_batches.distinct(10, 4, seed=3)
    epochs = [np.concatenate([next(batches)[0] for _ in range(3)]) for _ in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 2
    assert epochs[0].tolist() != epochs[1].tolist()
    assert not next(batches)[1].any()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(1, 5), st.integers(0, 99))
def test_a_batch_has_k_images_of_each_of_its_labels(labels, images, seed):
    labels = np.array(labels)
    size = 4 * images
    batches = peers_batches.by_label(labels, size, images, seed)
    again = peers_batches.by_label(labels, size, images, seed)
    names, seen = np.unique(labels), 0
    while seen < names.size:
        at, view = next(batches)
        assert all(map(np.array_equal, (at, view), next(again)))
        found, count = np.unique(labels[at], return_counts=True)
        seen += found.size
        assert (count == images).all()
        # A batch of one label alone would be none for a loss of pairs.
        assert found.size <= 5
        assert (names.size == 1) or found.size > 1
        pairs = set(zip(at.tolist(), view.tolist(), strict=True))
        assert len(pairs) == at.size
        for label in found:
            of_label = at[labels[at] == label]
            times = [int((of_label == image).sum()) for image in np.flatnonzero(labels == label)]
            assert max(times) - min(times) <= 1
    assert seen == names.size


def test_images_of_a_label_change_from_epoch_to_epoch():
    batches = peers_batches.by_label(np.zeros(50, dtype=np.int64), 4, 4, seed=0)
    epochs = [frozenset(next(batches)[0].tolist()) for _ in range(4)]
    assert len(set(epochs)) == 4


def test_views_of_one_image_differ_and_follow_from_the_seed(dataset, graph, make):
    data, module = built(dataset, graph, make.small_run(images={"scale": 0.3}))
    picked = np.array([1, 1, 0, 1]), np.array([0, 1, 0, 0])
    nodes, labels = np.array([4, 7]), np.array([5, 6])
    augment, reader = module.augment, data.reader
    assert isinstance(augment, Augment)
    assert isinstance(reader, ImageReader)

    def batch(seed):
        one = peers_batches.pictures(iter([picked]), reader, augment, nodes, labels, seed)
        return next(one)

    found = batch(0)
    assert found.label.tolist() == [6, 6, 5, 6]
    assert torch.equal(found.x[0], found.x[3])
    assert not torch.equal(found.x[0], found.x[1])
    assert torch.equal(found.x, batch(0).x)
    assert not torch.equal(found.x, batch(1).x)


@pytest.mark.parametrize(
    "stages",
    [
        {"edges": {"alpha": 0.5}},
        {"edges": {"alpha": 1.0, "of": "predictions", "distance": "kl"}},
        {"labels": {"spread": True}, "head": {"kind": "partial_fc", "num_negatives": 2}},
    ],
    ids=["edges", "predictions", "partial fc"],
)
def test_the_plain_loop_is_a_run_bit_for_bit(stages, dataset, graph, make, tmp_path):
    config = make.small_run(**stages)
    result = train(dataset, graph, tmp_path / "run", config, display=make.silent)
    parts = ours(*built(dataset, graph, config), config)
    fitted = fit(parts, config.train)
    assert fitted.passes == result.passes
    expected = load_encoder(tmp_path / "run")[0].state_dict()
    for name, value in parts.encoder.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_peers_begin_with_our_weights(peer, dataset, graph, make):
    config = make.small_run()
    data, module = built(dataset, graph, config)
    begun = theirs(data, peer, config).encoder.state_dict()
    for name, value in module.encoder.state_dict().items():
        assert torch.equal(value, begun[name]), name


def test_a_peers_loss_goes_down_on_one_batch(peer, dataset, graph, make):
    config = make.small_run(train={"passes": 150})
    parts = theirs(built(dataset, graph, config)[0], peer, config)
    parts = dataclasses.replace(parts, batches=itertools.repeat(next(parts.batches)))
    before = [value.clone() for value in parts.encoder.parameters()]
    losses = fit(parts, config.train).losses
    assert losses[-1] < 0.9 * losses[0]
    assert not all(map(torch.equal, before, parts.encoder.parameters()))


def test_a_peer_is_repeated_by_its_seed(peer, dataset, graph, make):
    def losses(seed):
        config = make.small_run(train={"seed": seed})
        return fit(theirs(built(dataset, graph, config)[0], peer, config), config.train).losses

    assert losses(1) == losses(1) != losses(2)


def test_a_loss_that_is_no_number_ends_a_run(dataset, graph, make):
    config = make.small_run()
    parts = theirs(built(dataset, graph, config)[0], PEERS["SupConLoss"], config)
    parts = dataclasses.replace(parts, step=lambda batch: (torch.tensor(float("nan")), 1))
    with pytest.raises(NotFinite, match="loss nan in step 1"):
        fit(parts, config.train)


@pytest.fixture
def settings(dataset, graph, make, monkeypatch):
    # Not the process that runs these tests.
    monkeypatch.setattr(peers_worker, "first_to_go", lambda: None)
    work = {"dataset": str(dataset), "config": to_dict(make.small_run())}
    return {**work, "peer": dataclasses.asdict(PEERS["ArcFaceLoss"])}


def test_a_process_says_what_came_out(settings, capsys):
    for peer in (settings["peer"], None):
        peers_worker.main(json.dumps({**settings, "peer": peer}))
        found = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert 0 <= found["recall@1"]["split=query"] <= 1
        assert found["passes"] >= 24
        assert found["rate"] > 0
        assert found["peak_mib"] > 50


def test_a_missing_library_is_said(settings, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    peers_worker.main(json.dumps(settings))
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found == {"missing": "pytorch-metric-learning is not installed"}


def test_settings_of_a_peer_are_shown():
    peer = Peer(loss="SupConLoss", per_label=2, options={"temperature": 0.05})
    assert str(peer) == "SupConLoss, lr 0.012, batches of 128, 2 of a label, temperature 0.05"
