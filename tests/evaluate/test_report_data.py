"""A report that cannot be true is refused when it is made."""

from dataclasses import replace

import pytest

from graphrise.errors import DataError


def test_refusals(report, models):
    with pytest.raises(DataError, match="has no model"):
        replace(report, models=[])
    with pytest.raises(DataError, match="two models of one name"):
        replace(report, models=[models[0], models[0]])
    with pytest.raises(DataError, match="baseline is 'none'"):
        replace(report, baseline="none")
    with pytest.raises(DataError, match="test_set is 'moon'"):
        replace(report, test_set="moon")
    with pytest.raises(DataError, match="'plain' has no run"):
        replace(report, models=[replace(models[0], runs=[]), models[1]])
    with pytest.raises(DataError, match="no mAP on query set 'far'"):
        replace(report, main_metric="mAP")


def test_runs_of_a_model_must_agree_and_be_finite(report, models):
    first, second, *_ = models[0].runs
    fewer = replace(second, metrics={"far": {"recall@1": 0.1}})
    with pytest.raises(DataError, match="did not score the same metrics"):
        replace(report, models=[replace(models[0], runs=[first, fewer]), models[1]])
    nan = replace(second, metrics={"far": {"recall@1": float("nan")}})
    with pytest.raises(DataError, match="'plain', seed 1: recall@1 on far is nan"):
        replace(report, models=[replace(models[0], runs=[nan]), models[1]])


def test_the_featured_model_is_the_last_unless_named(report):
    assert report.featured_model.name == "graph"
    assert replace(report, featured=None).featured_model.name == "a <b> & c"
