"""The plain torch truth of every op, slow and obvious; tests and benchmarks import it."""

from graphrise.ops.reference.cross_entropy import sampled_cross_entropy as sampled_cross_entropy
from graphrise.ops.reference.cross_entropy import soft_cross_entropy as soft_cross_entropy
from graphrise.ops.reference.edge_distance import edge_distance as edge_distance
from graphrise.ops.reference.edge_distance import edge_energy as edge_energy
from graphrise.ops.reference.linear_cross_entropy import (
    linear_cross_entropy as linear_cross_entropy,
)
from graphrise.ops.reference.neighbor import neighbor_sum as neighbor_sum
from graphrise.ops.reference.rowwise_adagrad import rowwise_adagrad as rowwise_adagrad
from graphrise.ops.reference.rowwise_rmsprop import rowwise_rmsprop as rowwise_rmsprop
from graphrise.ops.reference.scatter import scatter as scatter
from graphrise.ops.reference.scatter import scatter_extreme as scatter_extreme
from graphrise.ops.reference.segment import segment_extreme as segment_extreme
from graphrise.ops.reference.segment import segment_reduce as segment_reduce
from graphrise.ops.reference.segment import segment_softmax as segment_softmax
from graphrise.ops.reference.sparse_rows import propagate_sparse as propagate_sparse
