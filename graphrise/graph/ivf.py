"""Approximate nearest neighbours of all nodes: k-means lists, of which each node looks into a few.

An inverted file (IVF) of plain vectors. FAISS trains and ranks the lists. What a list holds is then
compared with all nodes that look into it in one matrix product, which for N queries is several
times faster than FAISS's search, query by query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from graphrise.config.graph import KnnConfig
from graphrise.graph.knn_scan import SEED_ROWS, Galleries, Gallery, Nearest, scan_all
from graphrise.graph.knn_space import Space

QUERIES = 1 << 17
"""Nodes that look for neighbours at a time."""
LOOKS = 1 << 23
"""Their number times that of the lists they look into is at most this."""
SAMPLE = 2000
"""Nodes whose true nearest set the number of lists, and as many that check it."""
_PER_LIST = 128
"""Vectors per list that k-means sees."""
_ROUNDS = 10
"""Of k-means: after 5, twice the lists must be looked into; 20 take longer than they save."""
_GPU_LIMIT = 2048
"""FAISS on a GPU finds no more than this for a query."""
_SEED = 1


def on_gpu(index: Any) -> Any:
    """A FAISS index, on the first GPU if there is one and FAISS was built for it."""
    import faiss

    if hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0:
        return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    return index


class Lists:
    """The centres of the lists.

    Attributes:
        count: Lists.
    """

    def __init__(self, space: Space, random: np.random.Generator) -> None:
        """Train about 4 sqrt(N) lists on a sample of the vectors."""
        import faiss

        self._space = space
        self.count = max(1, min(int(4 * len(space) ** 0.5), len(space) // 8))
        size = min(len(space), _PER_LIST * self.count)
        sample = space.read(np.sort(random.choice(len(space), size, replace=False))).numpy()
        clustering = faiss.Clustering(sample.shape[1], self.count)
        clustering.niter, clustering.seed = _ROUNDS, _SEED
        clustering.spherical = space.metric == "cosine"
        # The sample is small on purpose: FAISS warns on stderr, and thins out larger ones.
        clustering.min_points_per_centroid, clustering.max_points_per_centroid = 1, size
        clustering.train(sample, on_gpu(faiss.IndexFlatL2(sample.shape[1])))
        centres = faiss.vector_to_array(clustering.centroids).reshape(self.count, -1)
        self._centres = space.as_gallery(torch.from_numpy(centres))
        self._cpu = faiss.IndexFlatIP(self._centres.shape[1])
        self._cpu.add(self._centres.numpy())
        self._index = on_gpu(self._cpu)

    def nearest(self, read: Tensor, probes: int) -> np.ndarray:
        """The nearest lists, best first.

        Args:
            read: float32 `[Q, D]`, as `Space.read` gives it.
            probes: Lists wanted.

        Returns:
            int64 `[Q, probes]`.
        """
        index = self._index if probes <= _GPU_LIMIT else self._cpu
        return index.search(self._space.as_queries(read).numpy(), probes)[1]

    def homes(self, file: Path) -> np.ndarray:
        """Write the list of every node to `file`; int32 `[N]`, memory-mapped."""
        num_nodes = len(self._space)
        home = open_memmap(file, mode="w+", dtype=np.int32, shape=(num_nodes,))
        for nodes in _blocks(num_nodes, QUERIES):
            home[nodes] = self.nearest(self._space.read(nodes), 1)[:, 0]
        return home

    def probes(self, read: Tensor, home: np.ndarray, found: np.ndarray, recall: float) -> int:
        """How many lists to look into.

        Args:
            read: float32 `[S, D]`, a sample as `Space.read` gives it.
            home: int32 `[N]`, the list of every node.
            found: int64 `[S, k]`, the true nearest; -1 for none.
            recall: Share of them to find, to which a standard error is added.
        """
        if recall == 1:
            return self.count
        there = found >= 0
        rank = np.zeros(found.shape, dtype=np.int64)
        queries, homes = self._space.as_queries(read), torch.from_numpy(home[found.clip(0)]).long()
        for some in torch.arange(len(read)).split(max(1, LOOKS // self.count)):
            product = queries[some] @ self._centres.T
            for column in range(found.shape[1]):
                own = product.gather(1, homes[some, column, None])
                rank[some, column] = (product > own).sum(dim=1).numpy()
        if not there.any():
            return 1
        lists = np.quantile(rank[there], recall, method="inverted_cdf")
        rows = there.any(axis=1)
        per_node = ((rank <= lists) & there).sum(axis=1)[rows] / there.sum(axis=1)[rows]
        asked = min(1.0, recall + per_node.std() / per_node.size**0.5)
        return int(np.quantile(rank[there], asked, method="inverted_cdf")) + 1


def search_lists(
    space: Space,
    k: int,
    at_least: float,
    config: KnnConfig,
    scratch: Path,
    add: Callable[[np.ndarray, np.ndarray, np.ndarray], None],
    show: Callable[[float], None],
) -> dict[str, Any]:
    """Find the k nearest of every node.

    Nodes pass in shards of `config.block` that share the lists, and for each shard all nodes look
    into their lists of it: memory holds one shard, the k nearest so far are in `scratch`.

    Args:
        space: N vectors, more than k.
        k: At least 1.
        at_least: Neighbours of a lower score do not count.
        config: `recall` and `block` are used.
        scratch: Existing folder.
        add: Takes sources (rising from call to call), targets and scores.
        show: Called with the fraction done.

    Returns:
        `lists`, `probes`, and `recall` on `recall_sample` nodes that did not set `probes`.
    """
    random = np.random.default_rng(_SEED)
    lists = Lists(space, random)
    home = lists.homes(scratch / "home.npy")
    sample = np.sort(random.choice(len(space), min(2 * SAMPLE, len(space)), replace=False))
    truth = Nearest(space, sample, k, at_least)
    scan_all([truth], Galleries(space, config.block))
    held = np.arange(sample.size) % 2 == 1
    probes = lists.probes(truth.read[~held], home, truth.found[~held], config.recall)
    shape = (len(space), k)
    scores = open_memmap(scratch / "scores.npy", mode="w+", dtype=np.float32, shape=shape)
    found = open_memmap(scratch / "found.npy", mode="w+", dtype=np.int64, shape=shape)
    starts = range(0, len(space), config.block)
    blocks = list(_blocks(len(space), max(1, min(QUERIES, LOOKS // probes))))
    for shard, start in enumerate(starts):
        gallery, bounds = _by_list(space, home, start, start + config.block, lists.count)
        for number, nodes in enumerate(blocks):
            so_far = (scores[nodes], found[nodes]) if shard else ()
            run = Nearest(space, nodes, k, at_least, so_far)
            _look(run, lists.nearest(run.read, probes), gallery, bounds)
            scores[nodes], found[nodes] = run.scores, run.found
            if shard == len(starts) - 1:
                add(*run.edges())
            show((shard + (number + 1) / len(blocks)) / len(starts))
    return {
        "lists": lists.count,
        "probes": probes,
        "recall": _recall(truth.scores[held], scores[sample[held]]),
        "recall_sample": int(held.sum()),
    }


def _blocks(num_nodes: int, step: int) -> Iterator[np.ndarray]:
    for first in range(0, num_nodes, step):
        yield np.arange(first, min(first + step, num_nodes))


def _by_list(
    space: Space, home: np.ndarray, start: int, stop: int, count: int
) -> tuple[Gallery, np.ndarray]:
    """Nodes `[start, stop)` as a gallery in the order of their lists, and where each list starts.

    Within a list the nodes rise. The starts are int64 `[count + 1]`.
    """
    stop = min(stop, len(space))
    own = np.asarray(home[start:stop])
    order = np.argsort(own, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    rows = space.gallery(start, stop, torch.from_numpy(place))
    bounds = np.searchsorted(own[order], np.arange(count + 1))
    return (rows, torch.from_numpy(start + order)), bounds


def _look(run: Nearest, near: np.ndarray, gallery: Gallery, bounds: np.ndarray) -> None:
    """Compare every query with what is in its lists.

    Args:
        run: The queries.
        near: int64 `[Q, probes]`, their lists, best first.
        gallery: Rows in the order of the lists.
        bounds: int64, where each list starts.
    """
    rows, nodes = gallery
    for number, at in _askers(near[:, :1], bounds):
        # What a query's own list holds tells most lists that they have nothing for it.
        run.seed(rows[bounds[number] : min(bounds[number + 1], bounds[number] + SEED_ROWS)], at)
    for number, at in _askers(near, bounds):
        part = slice(bounds[number], bounds[number + 1])
        run.scan((rows[part], nodes[part]), at)
    run.rank()


def _askers(near: np.ndarray, bounds: np.ndarray) -> Iterator[tuple[int, Tensor]]:
    """Lists that hold something, and the queries (int64, rising) that look into each."""
    queries = np.arange(len(near))[:, None]
    # One number sorts faster than two keys.
    both = np.sort((near * len(near) + queries).ravel())
    number, query = np.divmod(both, len(near))
    starts = np.searchsorted(number, np.arange(bounds.size))
    at = torch.from_numpy(query)
    for one in np.flatnonzero((np.diff(starts) > 0) & (np.diff(bounds) > 0)):
        yield int(one), at[starts[one] : starts[one + 1]]


def _recall(truth: np.ndarray, ours: np.ndarray) -> float:
    """Share of the true neighbours that were found; of equal scores one is as good as another.

    Args:
        truth: float32 `[S, k]`, true scores, -inf where there is none.
        ours: float32 `[S, k]`, as above.
    """
    there = np.isfinite(truth)
    worst = np.where(there, truth, np.inf).min(axis=1, keepdims=True)
    return float((ours >= worst).sum() / there.sum()) if there.any() else 1.0
