"""Weights of the edge terms over a budget."""

import pytest

from graphrise.config import EdgeConfig
from graphrise.train.schedule import edge_ramp


def test_by_default_they_count_from_the_first_step():
    assert [edge_ramp(EdgeConfig(), at) for at in (0.0, 0.3, 1.0)] == [1, 1, 1]


def test_a_late_start_without_a_ramp_is_a_step():
    edges = EdgeConfig(alpha_start=0.25)
    assert [edge_ramp(edges, at) for at in (0.0, 0.2499, 0.25, 1.0)] == [0, 0, 1, 1]


def test_a_ramp_is_a_straight_line():
    edges = EdgeConfig(alpha_start=0.25, alpha_ramp=0.5)
    found = [edge_ramp(edges, at) for at in (0.0, 0.25, 0.375, 0.5, 0.75, 0.9)]
    assert found == pytest.approx([0, 0, 0.25, 0.5, 1, 1])
    assert edge_ramp(EdgeConfig(alpha_ramp=0.5), 0.0) == 0
