"""Ragged label rows."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.graph.ragged import from_entries

ROWS, LABELS = 5, 4


@settings(max_examples=40, deadline=None)
@given(
    entries=st.dictionaries(
        st.tuples(st.integers(0, ROWS - 1), st.integers(0, LABELS - 1)),
        st.integers(1, 9),
        max_size=12,
    ),
    wanted=st.lists(st.integers(0, ROWS - 1), max_size=6),
)
def test_equals_a_dense_table(entries, wanted):
    dense = np.zeros((ROWS, LABELS))
    for (r, k), w in entries.items():
        dense[r, k] = w
    dense /= np.maximum(dense.sum(axis=1, keepdims=True), 1e-9)
    rows = np.array([r for r, _ in entries], dtype=np.int64)
    index = np.array([k for _, k in entries], dtype=np.int64)
    weight = np.array(list(entries.values()), dtype=np.float64)
    ragged = from_entries(rows, index, weight, ROWS)
    assert len(ragged) == ROWS
    assert ragged.counts.tolist() == (dense > 0).sum(axis=1).tolist()
    top = [int(d.argmax()) if d.any() else -1 for d in dense.astype(np.float32)]
    assert ragged.top().tolist() == top
    nodes = np.array(wanted, dtype=np.int64)
    row, label, share = ragged.rows(nodes)
    assert (row.dtype, label.dtype, share.dtype) == (np.int64, np.int64, np.float32)
    want = [(i, k, dense[n, k]) for i, n in enumerate(wanted) for k in range(LABELS) if dense[n, k]]
    assert list(zip(row, label, strict=True)) == [(i, k) for i, k, _ in want]
    np.testing.assert_allclose(share, [w for _, _, w in want], rtol=1e-6)
