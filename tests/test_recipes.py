"""The paper's recipe says of every value where it is from."""

import inspect
import re

import pytest

from graphrise.recipes import paper

SOURCES = "slides|patent|clone|recalled|ours"


def test_every_value_of_the_paper_has_its_source():
    code = inspect.getsource(paper).split("return RunConfig(")[1]
    lines = [s for s in code.splitlines() if re.search(r"\w=", s) and not s.endswith("(")]
    assert len(lines) > 15
    for line in lines:
        assert re.search(rf"  # ({SOURCES})\b", line), line


def test_the_paper_as_it_is_known():
    config = paper()
    # What the notes on the paper have; the rest is ours and may change.
    assert (config.encoder.name, config.images.size, config.encoder.dim) == ("resnet101", 289, 64)
    assert config.labels.source == "queries"
    assert not config.labels.spread
    assert config.head.sampled(40_000_000)
    assert (config.head.num_negatives, config.head.smoothing) == (100_000, 0.1)
    assert config.edges.used
    assert (config.edges.sampler, config.edges.embeddings) == ("pairs", "encoder")
    assert config.edges.distance == "squared_l2"
    assert config.train.optimizer == "sgd"
    # Two labels of 0.45, and the rest spread over 100,000.
    assert 2 * 0.45 + config.head.num_negatives * 1e-6 == pytest.approx(1.0)
