"""What changes over a budget."""

import pytest

from graphrise.config import TrainConfig
from graphrise.train.schedule import rate


def test_cosine_endpoints():
    train = TrainConfig(warmup=0.2)
    assert 0 < rate(train, 0.0) <= 0.01
    assert rate(train, 0.1) == pytest.approx(0.5)
    assert rate(train, 0.2) == pytest.approx(1.0)
    assert rate(train, 0.6) == pytest.approx(0.5)
    assert rate(train, 1.0) == pytest.approx(0.0)
    steps = [rate(train, i / 100) for i in range(101)]
    assert steps[:21] == sorted(steps[:21])
    assert steps[20:] == sorted(steps[20:], reverse=True)
    assert rate(TrainConfig(warmup=0.0), 0.0) == 1
