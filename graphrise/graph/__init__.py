"""Logs to labels and an image similarity graph: built by SQL, kept in a folder, read as `Data`."""

from graphrise.graph.build import build_graph as build_graph
from graphrise.graph.ragged import Ragged as Ragged
from graphrise.graph.spread import respread as respread
from graphrise.graph.spread import spread_labels as spread_labels
from graphrise.graph.store import Graph as Graph
from graphrise.graph.store import open_graph as open_graph
