"""CSR matrices on their side."""

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError, DataError
from graphrise.ops.csr import csr_transpose, row_index

MATRICES = st.lists(st.lists(st.integers(0, 5), max_size=7), max_size=6)
DTYPES = st.sampled_from([torch.int32, torch.int64])


def csr(rows, index=torch.int64, pointer=torch.int64):
    ends = torch.tensor([0, *(len(r) for r in rows)]).cumsum(0).to(pointer)
    return ends, torch.tensor([c for r in rows for c in r], dtype=index)


@pytest.mark.parametrize("compiled", [True, False])
@settings(deadline=None)  # the first example compiles
@given(rows=MATRICES, index=DTYPES, pointer=DTYPES)
def test_entries_by_column_then_row(compiled, rows, index, pointer):
    rowptr, col = csr(rows, index, pointer)
    with pytest.MonkeyPatch.context() as patch:
        if not compiled:
            patch.setitem(sys.modules, "numba", None)
        start, row, order = csr_transpose(rowptr, col, 6)
    assert (start.dtype, row.dtype, order.dtype) == (pointer, index, torch.int64)
    entries = [
        (c, r, e) for e, (r, c) in enumerate(zip(row_index(rowptr, len(col)), col, strict=True))
    ]
    want = sorted((int(c), int(r), e) for c, r, e in entries)
    assert row.tolist() == [r for _, r, _ in want]
    assert order.tolist() == [e for _, _, e in want]
    assert start.diff().tolist() == [sum(c == k for c, _, _ in want) for k in range(6)]
    assert int(start[0]) == 0


@given(rows=MATRICES)
def test_row_index(rows):
    rowptr, col = csr(rows)
    assert row_index(rowptr, len(col)).tolist() == [r for r, cols in enumerate(rows) for _ in cols]


def test_registered_with_torch():
    rowptr, col = csr([[1, 2], [], [0, 2, 2]])
    op = torch.ops.graphrise.csr_transpose.default
    assert set(torch.library.opcheck(op, (rowptr, col, 3)).values()) == {"SUCCESS"}


def test_wrong_input():
    rowptr, col = csr([[1, 2], [0]])
    with pytest.raises(DataError, match=r"csr_transpose: col\[1\] is 2; it must lie in \[0, 2\)"):
        csr_transpose(rowptr, col, 2)
    with pytest.raises(DataError, match="rowptr runs from 0 to 3"):
        csr_transpose(rowptr, col[:2], 3)
    with pytest.raises(ConfigError, match="col must be int32 or int64"):
        csr_transpose(rowptr, col.float(), 3)
