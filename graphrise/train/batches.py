"""From a run's settings to what its batches are made of."""

from __future__ import annotations

import math

import numpy as np

from graphrise.config import EdgeConfig, RunConfig
from graphrise.graph.ragged import Ragged
from graphrise.graph.store import Graph
from graphrise.loader.base import EdgeSampler
from graphrise.loader.factors import EdgeFactors
from graphrise.loader.grouped import Grouped
from graphrise.loader.order import EvenBatches, Order, Shuffled
from graphrise.loader.plan import BatchPlan
from graphrise.loader.sampler import PairSampler
from graphrise.loader.subgraph import SubgraphSampler


def edge_sampler(graph: Graph, labels: Ragged, config: RunConfig) -> EdgeSampler:
    """The sampler that `config.edges` describes; one that draws nothing if no edge counts.

    Raises:
        ConfigError: The graph knows no kind of edge of that name.
    """
    edges, seed = config.edges, config.train.seed
    factors = _factors(graph, labels, edges) if edges.used else None
    if edges.used and edges.sampler == "subgraph":
        return SubgraphSampler(
            graph,
            edges.fanouts,
            labels=labels,
            unlabelled_edges=edges.alpha_unlabelled > 0,
            normalize=edges.normalize,
            kinds=edges.kinds,
            neighbors=edges.embeddings,
            factors=factors,
            seed=seed,
        )
    return PairSampler(
        graph,
        edges.neighbors if edges.used else 0,
        edges.draw,
        normalize=edges.normalize,
        kinds=edges.kinds if edges.used else None,
        labels=labels,
        neighbors=edges.embeddings,
        factors=factors,
        seed=seed,
    )


def _factors(graph: Graph, labels: Ragged, edges: EdgeConfig) -> EdgeFactors | None:
    labelled, others = edges.pair_factors
    if labelled == others == 1 and not edges.alpha_by_kind:
        return None
    return EdgeFactors(graph, edges.alpha_by_kind, labelled=labelled, others=others, labels=labels)


def batch_plan(
    graph: Graph, labels: Ragged, config: RunConfig, *, rank: int = 0, world_size: int = 1
) -> BatchPlan:
    """Which images make up each batch of a run.

    Args:
        graph: CSR graph.
        labels: Soft labels by node.
        config: The run.
        rank: This process's part of every batch.
        world_size: Number of parts.

    Raises:
        ConfigError: There are fewer labelled images than ranks.
    """
    edges, train = config.edges, config.train
    # Not labels.counts: of 20 million images that is 160 MB for a moment.
    labelled = labels.rowptr[1:] > labels.rowptr[:-1]
    nodes = np.flatnonzero(labelled)
    order: Order = Shuffled(nodes.size, train.seed)
    if edges.used and edges.sampler == "subgraph" and edges.group_size > 1:
        order = Grouped(graph, nodes, edges.group_size, kinds=edges.kinds, seed=train.seed)
    swept = edges.used and edges.embeddings == "bank"
    among_unlabelled = edges.alpha_unlabelled > 0
    batches = EvenBatches(order, train.batch_size, rank=rank, world_size=world_size)
    unlabelled = np.flatnonzero(~labelled) if swept or among_unlabelled else nodes[:0]
    # A few unlabelled images are encoded once an epoch, as labelled ones are, and not more often.
    once = unlabelled.size * (edges.bank.sweep_every or 0) / max(1, len(batches) * world_size)
    return BatchPlan(
        batches,
        nodes,
        graph.num_nodes,
        unlabelled=unlabelled,
        ratio=edges.unlabelled_ratio if among_unlabelled else 0.0,
        sweep_every=edges.bank.sweep_every if swept else None,
        sweep_size=max(1, min(train.batch_size, math.ceil(once))),
        seed=train.seed,
    )
