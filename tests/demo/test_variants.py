"""The demo's models: one recipe, one thing changed at a time."""

import dataclasses

import pytest

from graphrise.config import to_dict
from graphrise.demo.variants import BASELINE, FEATURED, variants, with_seed
from graphrise.recipes import digits, emoji


def changed(left, right, prefix=""):
    """Names of the settings in which two run configs differ."""
    found = set()
    for name, value in left.items():
        if isinstance(value, dict) and isinstance(right[name], dict):
            found |= changed(value, right[name], f"{prefix}{name}.")
        elif value != right[name]:
            found.add(prefix + name)
    return found


@pytest.mark.parametrize("recipe", [digits(), emoji()])
@pytest.mark.parametrize("full", [True, False])
def test_one_thing_at_a_time(recipe, full):
    models = {m.name: m for m in variants(recipe, full=full)}
    base = models[BASELINE].config
    assert (base.labels.spread, base.edges.alpha, base.shuffle_graph) == (False, 0.0, None)
    allowed = {
        "labels.spread", "edges.alpha", "shuffle_graph", "labels.source",
    }  # fmt: skip
    for model in models.values():
        differs = changed(to_dict(base), to_dict(model.config))
        assert differs <= allowed
        assert len(differs - {"shuffle_graph"}) <= 1
        # The budget is everybody's.
        assert model.config.train == recipe.train
    assert models[FEATURED].config.labels.spread
    assert len({m.slug for m in models.values()}) == len(models)
    assert all(m.slug.replace("-", "").isalnum() for m in models.values())


def test_seeds_reach_training_and_the_control():
    for model in variants(digits(), full=True):
        seeded = with_seed(model.config, 3)
        assert seeded.train == dataclasses.replace(model.config.train, seed=3)
        shuffled = model.config.shuffle_graph is not None
        assert seeded.shuffle_graph == (3 if shuffled else None)
