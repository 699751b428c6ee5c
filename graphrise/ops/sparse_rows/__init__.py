"""Ragged rows of labels and weights: spread over a graph, in memory or through files."""

from graphrise.ops.sparse_rows.propagate import propagate_sparse as propagate_sparse
from graphrise.ops.sparse_rows.results import open_rows as open_rows
from graphrise.ops.sparse_rows.rows import SparseRows as SparseRows
