"""Every switch of the edge term changes what it should, in training on a small data set."""

import numpy as np
import pytest
import torch

from graphrise.config import AdversarialConfig, GraphConfig
from graphrise.graph.build import build_graph
from graphrise.train.data import TrainingData
from graphrise.train.module import GraphRise

SWITCHES = {
    "cosine": {"distance": "cosine"},
    "js": {"distance": "js"},
    "unnormalized": {"of": "unnormalized"},
    "predictions": {"of": "predictions", "distance": "kl"},
    "labelled": {"alpha_labelled": 0.0},
    "by kind": {"alpha_by_kind": {"coclick": 0.25}},
    "late": {"alpha_start": 0.5, "alpha_ramp": 0.25},
    "gate": {"gate": 2.0},
    "on labels": {"label_alpha": 0.5},
    "fgsm": {"adversarial": AdversarialConfig(kind="fgsm")},
    "vat": {"adversarial": AdversarialConfig(kind="vat", norm="infinity", size=0.05)},
}
SAME = {
    "labelled": {"alpha_labelled": 1.0},
    "by kind": {"alpha_by_kind": {"knn": 0.1, "coclick": 1.0}},
    "unused": {"adversarial": AdversarialConfig(alpha=9.0, size=0.1, steps=4)},
}


@pytest.fixture
def steps(make, dataset):
    """Train two epochs in a plain loop; the encoder's weights, and the last step's terms."""
    graph = build_graph(dataset, dataset / "graph", GraphConfig())

    def of(**edges):
        config = make.small_run(
            edges={"alpha": 1.0, **edges},
            labels={"source": "queries"},
            train={"epochs": 2.0, "passes": None},
        )
        torch.set_num_threads(1)
        torch.manual_seed(0)
        data = TrainingData(dataset, graph, config)
        module = GraphRise(config, data.num_labels, data.num_labelled, kinds=graph.kinds)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
        loader = data.train_dataloader()
        for epoch in range(2):
            loader.set_epoch(epoch)
            for batch in loader:
                optimizer.zero_grad()
                module.training_step(batch, 0).backward()
                optimizer.step()
        return module.encoder.state_dict(), module

    return of


def equal(one, other):
    return all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize("name", SWITCHES)
def test_every_switch_changes_training_and_repeats(steps, name):
    plain, first = steps()
    found, module = steps(**SWITCHES[name])
    assert not equal(found, plain)
    assert all(np.isfinite(value.item()) for value in module.latest.values())
    assert equal(steps(**SWITCHES[name])[0], found)
    more = module.config.edges.adversarial.passes * module.seeds
    assert module.passes == first.passes + more


@pytest.mark.parametrize("name", SAME)
def test_what_counts_nothing_changes_nothing(steps, name):
    assert equal(steps(**SAME[name])[0], steps()[0])


def test_labels_alone_along_edges(steps):
    # Neighbours are drawn, though no distance counts.
    _, module = steps(alpha=0.0, label_alpha=1.0)
    assert module.latest["edge_label_loss"] > 0
    assert module.passes > steps(alpha=0.0)[1].passes == 2 * 12


@pytest.mark.parametrize("embeddings", ["bank", "stop_gradient"])
def test_switches_without_gradient_to_neighbours(steps, embeddings):
    several = ({}, {"of": "unnormalized"}, {"gate": 1.0}, {"distance": "l1"})
    found = [steps(embeddings=embeddings, **edges)[0] for edges in several]
    for n, one in enumerate(found):
        assert not any(equal(one, other) for other in found[:n])
