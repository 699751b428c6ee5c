"""A graph as PyG `Data`, NetworkX graph, edge list or OGB dataset, and back."""

from graphrise.graph.convert.pyg import from_data as from_data
from graphrise.graph.convert.pyg import to_data as to_data
