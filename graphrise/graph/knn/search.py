"""The k nearest of some nodes, while all nodes pass through a FAISS index block by block."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from graphrise.graph.knn.space import Space, even

QUERIES = 1 << 14
SPARE = 4
"""Candidates beyond k: float32 may rank a few wrongly around the k-th place."""
_PRODUCT = 1 << 21
"""Numbers of one product of `_batch_search` (8 MiB)."""
_GPU_LIMIT = 2048
"""FAISS on a GPU neither finds more than this for a query nor looks into more lists."""

Show = Callable[[float], None]


def on_gpu(index: Any, most: int) -> Any:
    """A FAISS index, on the first GPU if there is one and FAISS was built for it.

    Args:
        index: FAISS index.
        most: Neighbours to be found for a query, or lists looked into, whichever are more.
    """
    import faiss

    if hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0 and most <= _GPU_LIMIT:
        return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    return index


class Nearest:
    """The k nearest of Q nodes, themselves left out; of equal scores the lowest node comes first.

    Attributes:
        nodes: int64 `[Q]`.
        at_least: Neighbours of a lower score do not count.
        scores: float32 `[Q, k]`, falling along a row, -inf where there is none.
        found: int64 `[Q, k]`, -1 where there is none.
        candidates: To ask an index for: k, the node itself and some to spare.
    """

    def __init__(
        self, nodes: np.ndarray, at_least: float, scores: np.ndarray, found: np.ndarray
    ) -> None:
        """Nothing found yet: `scores` and `found` are room for it, maybe memory-mapped."""
        self.nodes, self.at_least, self.scores, self.found = nodes, at_least, scores, found
        self.candidates = scores.shape[1] + 1 + SPARE
        scores[:], found[:] = -np.inf, -1

    def search(
        self, space: Space, index: Any, block: int, show: Show, queries: int = QUERIES
    ) -> None:
        """Look for neighbours among all nodes.

        Args:
            space: The vectors.
            index: FAISS index, trained if it must be; filled with one block after the other.
            block: Nodes in the index at a time.
            show: Called with the fraction done.
            queries: Nodes that search at a time.
        """
        import faiss

        find = _search_lists if isinstance(index, faiss.IndexIVFFlat) else _search
        starts, count = range(0, len(space), block), self.nodes.size
        for number, start in enumerate(starts):
            space.fill(index, start, block)
            for some in even(count, queries):
                width = min(self.candidates, index.ntotal)
                near = find(index, space.read(self.nodes[some]), width)
                self._keep(space, some, np.where(near < 0, -1, near + start))
                show((number + some.stop / count) / len(starts))

    def _keep(self, space: Space, some: slice, found: np.ndarray) -> None:
        """Merge candidates, int64 `[q, T]`, with what some nodes have."""
        nodes, k = self.nodes[some], self.scores.shape[1]
        scores = space.scores(nodes, found.clip(0))
        no = (found < 0) | (found == nodes[:, None]) | (scores < np.float32(self.at_least))
        scores = np.concatenate((self.scores[some], np.where(no, -np.inf, scores)), axis=1)
        found = np.concatenate((self.found[some], np.where(no, -1, found)), axis=1)
        order = np.lexsort((found, -scores))[:, :k]
        self.scores[some] = np.take_along_axis(scores, order, axis=1)
        self.found[some] = np.take_along_axis(found, order, axis=1)


def _search(index: Any, queries: np.ndarray, count: int) -> np.ndarray:
    return index.search(queries, count)[1]


def _search_lists(index: Any, queries: np.ndarray, count: int) -> np.ndarray:
    """Candidates from an IVF index, int64 `[Q, count]`; -1 for none."""
    import faiss

    # A thread for each part of the queries: FAISS's own threads, woken for every list, take seven
    # times as long as one alone.
    threads = faiss.omp_get_max_threads()
    parts = even(len(queries), max(1, -(-len(queries) // threads)))
    with ThreadPoolExecutor(threads, initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
        found = pool.map(lambda part: _batch_search(index, queries[part], count), parts)
        return np.concatenate(list(found))


def _batch_search(index: Any, queries: np.ndarray, count: int) -> np.ndarray:
    """Candidates from an IVF index, int64 `[Q, count]`; -1 for none.

    Each list is compared with all queries that look into it at once, which takes half the time of
    the index's own `search`. Not by FAISS's `big_batch_search`: that prints, and its products may
    be of any size.
    """
    import faiss
    from faiss.contrib.big_batch_search import BigBatchSearcher

    if len(queries) * index.nprobe <= index.nlist + 1:  # FAISS cannot sort so few by list
        return _search(index, queries, count)
    run: Any = BigBatchSearcher(index, queries, count)
    run.decode_func, run.by_residual = lambda codes: codes.view(np.float32), False
    run.coarse_quantization()
    run.reorder_assign()
    for number in range(index.nlist):
        rows, some, names, held = run.prepare_bucket(number)
        if names.size:
            for part in even(rows.size, max(1, _PRODUCT // names.size)):
                products = faiss.pairwise_distances(some[part], held, metric=index.metric_type)
                run.add_results_to_heap(rows[part], products, names, None)
    run.rh.finalize()
    return run.rh.I
