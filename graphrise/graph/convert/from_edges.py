"""A graph from plain edge arrays: loops dropped, repeats and directions made one weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import ArrayLike

from graphrise.errors import ConfigError, DataError
from graphrise.graph.names import Names
from graphrise.graph.ragged import Ragged, from_entries
from graphrise.graph.store import GIVEN, KINDS, Graph, as_column, id_dtype

pc: Any = pyarrow.compute  # its functions are made at import; type checkers see none

Symmetric = Literal["max", "mean", "sum"]
_OWN_BITS = (16, 32, 64, 128)


def graph_from_edges(
    source: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    kind: ArrayLike | None = None,
    *,
    num_nodes: int | None = None,
    image_ids: Sequence[str | int] | None = None,
    labels: Mapping[str, Ragged] | None = None,
    vocabulary: Mapping[str, Sequence[str]] | None = None,
    kinds: Mapping[str, int] | None = None,
    symmetric: Symmetric = "max",
) -> Graph:
    """Build a graph in memory; the order of the edges does not matter.

    Self loops are dropped (`info["counts"]["self_loops"]`). An edge repeated in one direction keeps
    its largest weight and all kinds; then the two directions become one weight. Both directions
    listed, as in PyG, `max` and `mean` keep the weights; listed once, `max` and `sum` do.

    Args:
        source: Integers `[E]`, positions in `image_ids`.
        target: Integers `[E]`.
        weight: `[E]`, finite and above 0, taken as float32; None: 1 each.
        kind: Integers `[E]`, bits of `kinds`; 0 and None: `given`.
        num_nodes: N. None: as many as `image_ids`, or up to the largest node of an edge.
        image_ids: Image of each of the N nodes; None: 0 to N - 1.
        labels: Soft labels by source, N rows each.
        vocabulary: Label names by source.
        kinds: Bit of each kind of edge, by name; None: `store.KINDS`.
        symmetric: One weight of the two directions'; a direction that is missing counts 0.

    Returns:
        The graph.

    Raises:
        DataError: Lengths differ, a node or kind out of range, a weight not finite or not above 0
            (in float32), ids that repeat or are of mixed types. Names the first such edge.
        ConfigError: No such `symmetric`.
    """
    if symmetric not in ("max", "mean", "sum"):
        raise ConfigError(f"symmetric must be max, mean or sum; got {symmetric!r}")
    ends = _ends(source, target)
    image_ids = _ids(image_ids, num_nodes, ends)
    _check_range(ends, num_nodes := len(image_ids))
    _check_labels(labels or {}, num_nodes)
    known = dict(KINDS if kinds is None else kinds)
    weight, kind = _weights(weight, ends, image_ids), _kinds(kind, ends, known)
    if not (kept := ends[0] != ends[1]).all():
        ends, weight, kind = ends[:, kept], weight[kept], kind[kept]
    pairs, weight, kind = _undirected(ends, weight, kind, num_nodes, symmetric)
    # A mean may fall below float32's smallest number, a sum exceed its largest.
    weight = _weights(weight, pairs, image_ids)
    return Graph(
        image_ids,
        *_both_directions(pairs, weight, kind, num_nodes),
        labels=dict(labels or {}),
        vocabulary=dict(vocabulary or {}),
        info={"counts": {"self_loops": int(kept.size - kept.sum())}},
        kinds=known,
    )


def kind_bits(names: Iterable[str]) -> dict[str, int]:
    """Bit of each kind of edge: those of `store.KINDS`, then 16 to 128 for other names, sorted.

    Raises:
        DataError: More than four other names.
    """
    own = sorted(set(names) - set(KINDS))
    if len(own) > len(_OWN_BITS):
        raise DataError(
            f"{len(own)} kinds of edges of their own ({', '.join(map(repr, own[:6]))}); a graph "
            f"holds {len(_OWN_BITS)} beside {', '.join(KINDS)}: merge some"
        )
    return {**KINDS, **dict(zip(own, _OWN_BITS, strict=False))}


def kind_names(bits: int, kinds: Mapping[str, int]) -> tuple[str, ...]:
    """Names of the kinds of one edge, by rising bit."""
    return tuple(name for name in sorted(kinds, key=lambda n: kinds[n]) if bits & kinds[name])


def named_labels(
    node: np.ndarray, name: np.ndarray, share: np.ndarray, num_nodes: int
) -> tuple[Ragged, list[str]]:
    """Labels and their vocabulary, which is sorted by falling number of nodes, then by name.

    Args:
        node: int64 `[E]`, in any order.
        name: `[E]`, what the label is called: integers or strings, no pair with `node` twice.
        share: `[E]`, above 0; made to sum to 1 over a node.
        num_nodes: N.
    """
    values, index, counts = np.unique(name, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    rank = np.empty(order.size, dtype=np.int64)
    rank[order] = np.arange(order.size)
    return from_entries(node, rank[index], share, num_nodes), [str(v) for v in values[order]]


def checked_ids(image_ids: Sequence[str | int]) -> pa.ChunkedArray:
    """Image ids as an Arrow column.

    Raises:
        DataError: An id is null or repeated, or they are neither all strings nor all int64.
    """
    try:
        column = as_column(image_ids)
    except (pa.ArrowException, OverflowError) as error:
        raise DataError(f"image ids must be all strings or all int64 ({error})") from error
    kinds = (pa.types.is_integer, pa.types.is_string, pa.types.is_large_string)
    if len(column) and (column.null_count or not any(is_of(column.type) for is_of in kinds)):
        raise DataError(f"image ids must be all strings or all int64, not {column.type} or null")
    if len(pc.unique(column)) < len(column):
        counts = pc.value_counts(column)
        repeated = counts.filter(pc.greater(counts.field("counts"), 1))[0]["values"].as_py()
        raise DataError(f"image id {repeated!r} stands for more than one node; ids must be unique")
    return column


def _ends(source: ArrayLike, target: ArrayLike) -> np.ndarray:
    """Both ends, int64 `[2, E]`."""
    ends = [np.asarray(source), np.asarray(target)]
    for name, array in zip(("source", "target"), ends, strict=True):
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise DataError(
                f"{name} must be one row of whole numbers; it is {array.dtype} of shape "
                f"{array.shape}"
            )
    if ends[0].size != ends[1].size:
        raise DataError(f"source has {ends[0].size} edges, target {ends[1].size}")
    return np.stack([array.astype(np.int64, copy=False) for array in ends])


def _ids(
    image_ids: Sequence[str | int] | None, num_nodes: int | None, ends: np.ndarray
) -> Sequence[str | int]:
    """Image ids, checked, or 0 to N - 1."""
    if image_ids is None:
        size = int(ends.max(initial=-1)) + 1 if num_nodes is None else num_nodes
        return Names(pa.chunked_array([pa.array(np.arange(size))]))
    if num_nodes not in (None, len(image_ids)):
        raise DataError(f"{len(image_ids)} image ids for {num_nodes} nodes")
    checked_ids(image_ids)
    return image_ids


def _check_labels(labels: Mapping[str, Ragged], num_nodes: int) -> None:
    for source, ragged in labels.items():
        if len(ragged) != num_nodes:
            raise DataError(f"labels {source!r} have {len(ragged)} rows for {num_nodes} nodes")


def _check_range(ends: np.ndarray, num_nodes: int) -> None:
    wrong = ((ends < 0) | (ends >= num_nodes)).any(axis=0)
    if wrong.any():
        i = int(wrong.argmax())
        raise DataError(
            f"edge {i} ({ends[0, i]} to {ends[1, i]}): nodes are numbered from 0 to {num_nodes - 1}"
        )


def _weights(
    weight: ArrayLike | None, ends: np.ndarray, image_ids: Sequence[str | int]
) -> np.ndarray:
    """Weights as float32 `[E]`, checked."""
    if weight is None:
        return np.ones(ends.shape[1], dtype=np.float32)
    given = np.asarray(weight)
    if given.shape != ends.shape[1:] or (given.size and given.dtype.kind not in "iuf"):
        raise DataError(
            f"weight must be one number per edge ({ends.shape[1]}); it is {given.dtype} of shape "
            f"{given.shape}"
        )
    with np.errstate(over="ignore", under="ignore"):
        narrow = given.astype(np.float32)
    wrong = ~(np.isfinite(narrow) & (narrow > 0))
    if wrong.any():
        i = int(wrong.argmax())
        one, other = (image_ids[int(node)] for node in ends[:, i])
        raise DataError(
            f"edge {i} ({one!r} to {other!r}): weight {given[i]} is not finite and above 0 in "
            "float32; drop the edge or scale the weights"
        )
    return narrow


def _kinds(kind: ArrayLike | None, ends: np.ndarray, known: Mapping[str, int]) -> np.ndarray:
    """Kinds as uint8 `[E]`, checked."""
    if kind is None:
        return np.full(ends.shape[1], GIVEN, dtype=np.uint8)
    given = np.asarray(kind)
    if given.shape != ends.shape[1:] or (given.size and given.dtype.kind not in "iu"):
        raise DataError(
            f"kind must be one whole number per edge ({ends.shape[1]}); it is {given.dtype} of "
            f"shape {given.shape}"
        )
    wide = given.astype(np.int64)
    wrong = (wide & ~sum(known.values())) != 0
    if wrong.any():
        i = int(wrong.argmax())
        raise DataError(
            f"edge {i} ({ends[0, i]} to {ends[1, i]}): kind {wide[i]} has bits without a name; "
            f"kinds are {dict(known)}"
        )
    return np.where(wide == 0, GIVEN, wide).astype(np.uint8)


def _undirected(
    ends: np.ndarray, weight: np.ndarray, kind: np.ndarray, num_nodes: int, symmetric: Symmetric
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each edge once, int64 `[2, P]` with the lower node first, sorted; its weight and kind."""
    # One number per pair sorts faster than two; it fits int64 up to 3 billion nodes.
    pair = np.minimum(*ends) * num_nodes + np.maximum(*ends)
    order = np.argsort(pair)
    pair, weight = pair[order], weight[order]
    starts = np.flatnonzero(np.diff(pair, prepend=-1))
    if symmetric == "max":
        merged = np.maximum.reduceat(weight, starts)
    else:
        rising = (ends[0] < ends[1])[order]
        there = np.maximum.reduceat(np.where(rising, weight, 0), starts)
        back = np.maximum.reduceat(np.where(rising, 0, weight), starts)
        merged = there.astype(np.float64) + back
        if symmetric == "mean":
            merged /= 2
    kind = np.bitwise_or.reduceat(kind[order], starts)
    return np.stack(np.divmod(pair[starts], num_nodes)), merged, kind


def _both_directions(
    pairs: np.ndarray, weight: np.ndarray, kind: np.ndarray, num_nodes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """CSR arrays `rowptr`, `col`, `weight`, `kind` of what `_undirected` gives."""
    low, high = pairs
    above, below = (np.bincount(end, minlength=num_nodes) for end in pairs)
    rowptr = np.zeros(num_nodes + 1, dtype=np.int64)
    np.cumsum(above + below, out=rowptr[1:])
    # Pairs are sorted, so a row is its lower neighbours, rising, then its higher ones, rising.
    number = np.arange(low.size)
    forward = (rowptr[:-1] + below - (np.cumsum(above) - above))[low] + number
    turned = np.argsort(high, kind="stable")
    backward = (rowptr[:-1] - (np.cumsum(below) - below))[high[turned]] + number
    col = np.empty(2 * low.size, dtype=id_dtype(num_nodes))
    col[forward], col[backward] = high, low[turned]
    both = []
    for values in (weight, kind):
        out = np.empty(col.size, dtype=values.dtype)
        out[forward], out[backward] = values, values[turned]
        both.append(out)
    return rowptr, col, *both
