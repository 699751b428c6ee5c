"""Pictures that could not be read: noted, and without a label or a coefficient."""

from typing import Any

import numpy as np
import pytest
import torch

from graphrise.loader.batch import TrainingLoader, without_edges
from graphrise.loader.order import EvenBatches, Shuffled
from graphrise.loader.plan import BatchPlan
from graphrise.loader.sampler import PairSampler


def batches_of(graphs, graph, bad, neighbors: Any = "encoder"):
    labelled, rest = graphs.labelled_of(graph)
    plan = BatchPlan(
        EvenBatches(Shuffled(labelled.size, 3), 6), labelled, graph.num_nodes, unlabelled=rest,
        ratio=0.5, sweep_every=1 if neighbors == "bank" else None, sweep_size=2,
    )  # fmt: skip
    labels = graph.labels["given"]
    sampler = PairSampler(graph, 3, "uniform", labels=labels, neighbors=neighbors, seed=2)
    loader = TrainingLoader(without_edges(graph), graphs.Numbers(bad), labels, sampler, plan)
    return list(loader)


@pytest.mark.parametrize("neighbors", ["encoder", "stop_gradient", "bank"])
def test_they_count_nothing_and_the_others_as_before(make, graphs, neighbors):
    graph = graphs.graph_of_kinds(make, 30, 90, seed=1)
    labelled, rest = graphs.labelled_of(graph)
    bad = {int(n) for n in (*labelled[:3], *rest[:3])}
    kept = zeroed = 0
    for with_bad, clean in zip(
        batches_of(graphs, graph, bad, neighbors),
        batches_of(graphs, graph, (), neighbors),
        strict=True,
    ):
        assert "bad_node" not in clean
        here = sorted(bad & set(clean.n_id.tolist()))
        if here:
            assert with_bad.bad_node.tolist() == here
            assert with_bad.bad_reason == [f"wreck {n}" for n in here]
        else:
            assert "bad_node" not in with_bad
        # They stay in the batch: everything else keeps its place.
        for key in ("n_id", "x", "edge_index", "batch_size", "num_seed_edges", "num_forward"):
            assert torch.equal(torch.as_tensor(with_bad[key]), torch.as_tensor(clean[key]))
        good = torch.tensor([n not in bad for n in clean.n_id.tolist()])
        mine = good[clean.label_row]
        for key in ("label_row", "label_index", "label_weight"):
            assert torch.equal(with_bad[key], clean[key][mine])
        source, target = clean.edge_index
        want = torch.where(good[source] & good[target], clean.edge_coefficient, 0.0)
        assert torch.equal(with_bad.edge_coefficient, want)
        kept, zeroed = kept + int((want > 0).sum()), zeroed + int((want == 0).sum())
        if neighbors == "bank":
            want = torch.where(good[clean.bank_row], clean.bank_coefficient, 0.0)
            assert torch.equal(with_bad.bank_coefficient, want)
            assert torch.equal(with_bad.bank_node, clean.bank_node)
    assert kept > 0
    assert zeroed > 0


def test_a_batch_of_nothing_but_wrecks(make, graphs):
    graph = graphs.graph_of_kinds(make, 30, 90, seed=1)
    for batch in batches_of(graphs, graph, range(30)):
        assert batch.label_row.numel() == 0
        assert not batch.edge_coefficient.any()
        np.testing.assert_array_equal(np.sort(batch.n_id), batch.bad_node)
