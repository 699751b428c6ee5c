"""Edges from clicks on similar images, against plain Python on random tables."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.config import GraphConfig, SimilarConfig
from graphrise.errors import DataError
from graphrise.graph.store import SIMILAR

IDS = {"text": ["a", "b", "c", "d", "h"], "number": [70, 2**40, 3, -5, 0]}
HELD = 4
entries = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3), st.integers(0, 3)),
    min_size=1,
    max_size=30,
)


def similar(**settings):
    return GraphConfig(similar=SimilarConfig(**settings))


def of(*pairs):
    """Both directions of equal weights, as Read.edges gives them."""
    return {pair: w for u, v, w in pairs for pair in ((u, v), (v, u))}


@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("weighting", ["rate", "count"])
@settings(max_examples=12, deadline=None)
@given(
    table=entries,
    symmetric=st.sampled_from(["max", "mean", "sum"]),
    support=st.integers(1, 3),
    min_weight=st.sampled_from([0.0, 1 / 3, 0.4, 1.0, 2.0]),
    top_k=st.sampled_from([None, 1, 2]),
    scale=st.sampled_from([1.0, 0.1, 7.0]),
)
def test_similar_edges_equal_plain_python(
    tabled, of_columns, plain_pairs, read, build, weighting, ids, table, scale, **rules
):
    names = IDS[ids]
    table = [(names[u], names[v], clicks, clicks + more) for u, v, clicks, more in table]
    config = similar(weighting=weighting, scale=scale, **rules)
    graph = build(tabled(names, held=names[HELD:], similar_clicks=table), config)
    truth = plain_pairs(names[:HELD])
    want = truth.similar(of_columns("similar_clicks", table), config.similar)
    assert read.pairs(graph) == truth.merged([(SIMILAR, scale, want)])
    counts = graph.info["counts"]
    outside = sum(names[HELD] in entry[:2] for entry in table)
    assert counts["similar_clicks_of_other_splits"] == outside
    assert counts["similar_clicks_rows"] == len(table) - outside
    selves = sum(u == v and u != names[HELD] for u, v, *_ in table)
    assert counts["similar_clicks_self_pairs"] == selves
    assert counts["similar_edges"] == len(want)


@pytest.mark.parametrize(
    ("symmetric", "both", "one"), [("max", 0.5, 0.25), ("mean", 0.375, 0.125), ("sum", 0.75, 0.25)]
)
def test_two_directions_and_one(tabled, read, build, symmetric, both, one):
    table = [("a", "b", 1, 2), ("b", "a", 1, 4), ("c", "d", 1, 4), ("d", "c", 0, 9)]
    graph = build(tabled("abcd", similar_clicks=table), similar(symmetric=symmetric))
    assert read.edges(graph) == of(("a", "b", both), ("c", "d", one))
    assert set(graph.kind.tolist()) == {SIMILAR}


def test_repeated_rows_are_added_up_before_the_rate(tabled, read, build):
    folder = tabled("ab", similar_clicks=[("a", "b", 1, 2), ("a", "b", 1, 6)])
    assert read.edges(build(folder, similar())) == of(("a", "b", 0.25))
    assert read.edges(build(folder, similar(weighting="count"))) == of(("a", "b", 2))


def test_support_counts_the_clicks_of_both_directions(tabled, read, build):
    folder = tabled("abc", similar_clicks=[("a", "b", 1, 1), ("b", "a", 1, 1), ("a", "c", 1, 1)])
    assert set(read.pairs(build(folder, similar(support=2)))) == {("a", "b")}


def test_min_weight_and_top_k_come_before_scale(tabled, read, build):
    folder = tabled("abc", similar_clicks=[("a", "b", 1, 2), ("a", "c", 1, 4), ("b", "c", 1, 5)])
    graph = build(folder, similar(min_weight=0.25, scale=0.5))
    assert read.edges(graph) == of(("a", "b", 0.25), ("a", "c", 0.125))


def test_rates_need_impressions_and_counts_do_not(tabled, read, build):
    folder = tabled("ab", similar_clicks=[("a", "b", 3)])
    message = r"similar_clicks\.parquet: column 'impressions' is missing.*weighting count"
    with pytest.raises(DataError, match=message):
        build(folder, similar())
    assert not (folder / "graph").exists()
    assert read.edges(build(folder, similar(weighting="count"))) == of(("a", "b", 3))


@pytest.mark.parametrize("weighting", ["rate", "count"])
def test_more_clicks_than_impressions(tabled, build, weighting):
    folder = tabled("ab", similar_clicks=[("a", "b", 3, 3), ("b", "a", 3, 2)])
    message = r"similar_clicks\.parquet: column 'clicks', row 1 \(image_id 'b'\): 3 more clicks"
    with pytest.raises(DataError, match=message):
        build(folder, similar(weighting=weighting))


def test_true_and_false_are_counts(tabled, read, build):
    folder = tabled("abc", similar_clicks=[("a", "b", True, 4), ("a", "c", False, 4)])
    assert read.edges(build(folder, similar())) == of(("a", "b", 0.25))
    folder = tabled("abc", similar_clicks=[("a", "b", True, 0)])
    with pytest.raises(DataError, match=r"row 0 \(image_id 'a'\): True more clicks than impress"):
        build(folder, similar())


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (("a", "b", -1, 1), r"column 'clicks', row 1 \(image_id 'a'\): -1.* must be a whole"),
        (("a", "b", 0.5, 1), r"column 'clicks', row 1 \(image_id 'a'\): 0\.5 must be a whole"),
        (("a", "b", None, 1), r"column 'clicks', row 1 \(image_id 'a'\): null must be a whole"),
        (("a", "b", 1, None), r"column 'impressions', row 1 \(image_id 'a'\): null must be"),
        ((None, "b", 1, 1), r"column 'image_id', row 1: null must not be null"),
        (("a", None, 1, 1), r"column 'similar_image_id', row 1 \(image_id 'a'\): null must not"),
    ],
)
def test_wrong_values(tabled, build, row, what):
    folder = tabled("ab", similar_clicks=[("a", "b", 1, 1), row])
    with pytest.raises(DataError, match=rf"similar_clicks\.parquet: {what}"):
        build(folder, similar())


@pytest.mark.parametrize(
    ("row", "column"), [(("zz", "b", 1, 1), "image_id"), (("b", "zz", 1, 1), "similar_image_id")]
)
def test_an_unknown_image_stops_or_is_counted(tabled, read, build, row, column):
    # The last row's other image is of another split: it counts as unknown only.
    folder = tabled("abh", held="h", similar_clicks=[("a", "b", 1, 1), row, ("h", "yy", 1, 1)])
    message = rf"column '{column}', row 1.*'zz' is not in images\.parquet \(2 such rows\).*drop"
    with pytest.raises(DataError, match=message):
        build(folder, similar())
    graph = build(folder, GraphConfig(on_unknown_image="drop"))
    assert read.edges(graph) == of(("a", "b", 1))
    counts = graph.info["counts"]
    assert counts["similar_clicks_of_unknown_images"] == 2
    assert (counts["similar_clicks_of_other_splits"], counts["similar_clicks_rows"]) == (0, 1)
    assert "2 rows of similar_clicks with unknown images left out" in graph.info["warnings"]


def test_ids_of_two_types(tabled, build):
    folder = tabled([1, 2], similar_clicks=[(1, "2", 1, 1)])
    with pytest.raises(DataError, match=r"column 'similar_image_id' is text and .* is integer"):
        build(folder, similar())
