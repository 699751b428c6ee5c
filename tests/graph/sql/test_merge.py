"""Several kinds of edges made one graph, against plain Python on random tables."""

import random
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.config import CoclickConfig, GivenConfig, GraphConfig, KnnConfig, SimilarConfig
from graphrise.config.graph import Kind
from graphrise.errors import DataError
from graphrise.graph import writer
from graphrise.graph.engine import duckdb as engine_duckdb
from graphrise.graph.store import COCLICK, GIVEN, KINDS, KNN, SIMILAR

NODES = "edcba"
images = st.sampled_from(NODES)
queries = st.sampled_from("xy")
clicks = st.integers(0, 3)


def listed(*columns):
    return st.lists(st.tuples(*columns), min_size=1, max_size=20)


everything = st.fixed_dictionaries(
    {
        "impressions": listed(st.integers(0, 3), queries, images, st.integers(0, 1)),
        "clicks": listed(queries, images, clicks),
        "similar_clicks": listed(images, images, clicks, st.integers(3, 9)),
        "edges": listed(
            images, images, st.sampled_from([0.5, 2.0]), st.sampled_from([None, "coclick", "own"])
        ),
    }
)
rules = st.fixed_dictionaries(
    {
        "scale": st.sampled_from([0.1, 1.0, 7.0]),
        "min_weight": st.sampled_from([0.0, 0.4]),
        "top_k": st.sampled_from([None, 1, 2]),
    }
)
EXACT = ["jaccard", "shared_queries", "coclick_rate", "coclick_count"]  # unlike cosines, to the bit


def truth_of(tables, config, plain, plain_pairs, of_columns):
    """({kind: pairs}, merged) of all four tables."""
    rows = {name: of_columns(name, table) for name, table in tables.items()}
    truth = plain_pairs(NODES)
    pairs = plain(rows["impressions"], config, rows["clicks"]).weights()
    pairs = {truth.pair(u, v): w for (u, v), w in pairs.items()}
    kinds = [(COCLICK, config.coclick.scale, truth.best(pairs, config.coclick))]
    similar = truth.similar(rows["similar_clicks"], config.similar)
    kinds.append((SIMILAR, config.similar.scale, similar))
    bits = KINDS | {"own": 16}
    given = truth.given(rows["edges"], config.given)
    kinds += [(bits[name], config.given.scale, of) for name, of in given.items()]
    return kinds, truth.merged(kinds)


@settings(max_examples=20, deadline=None)
@given(
    tables=everything,
    weighting=st.sampled_from(EXACT),
    coclick=rules,
    similar=rules,
    given_=rules,
)
def test_all_kinds_equal_plain_python(
    tabled, of_columns, plain, plain_pairs, read, build, tables, weighting, coclick, similar, given_
):
    config = GraphConfig(
        coclick=CoclickConfig(weighting=weighting, **coclick),
        similar=SimilarConfig(**similar),
        given=GivenConfig(**given_),
    )
    graph = build(tabled(NODES, **tables), config)
    kinds, want = truth_of(tables, config, plain, plain_pairs, of_columns)
    assert read.pairs(graph) == want
    assert graph.num_edges == 2 * len(want)
    assert graph.info["counts"]["similar_edges"] == len(kinds[1][2])
    clicked = sum(row[-1] for row in tables["impressions"] + tables["clicks"])
    assert graph.info["counts"]["clicks"] == clicked


def test_an_edge_of_three_kinds_keeps_its_bits_and_weighs_the_scaled_sum(tabled, read, build):
    folder = tabled(
        "abcd",
        clicks=[("q", "a", 1), ("q", "b", 1)],
        similar_clicks=[("a", "b", 1, 4), ("a", "c", 1, 2)],
        edges=[("b", "a", 0.5, "own"), ("d", "c", 0.5, "own")],
    )
    config = GraphConfig(
        coclick=CoclickConfig(scale=2.0),
        similar=SimilarConfig(scale=8.0),
        given=GivenConfig(scale=3.0),
    )
    assert read.pairs(build(folder, config)) == {
        ("a", "b"): (2 * 1 + 8 * 0.25 + 3 * 0.5, COCLICK | SIMILAR | 16),
        ("a", "c"): (4.0, SIMILAR),
        ("c", "d"): (1.5, 16),
    }


def test_nearest_neighbours_add_to_the_other_kinds(tabled, read, build):
    folder = tabled("abcdh", held="h", edges=[("a", "b", 0.5), ("c", "d", 0.25)])
    file = folder / "images.parquet"
    # At 0, 10, 40, 100 and 45 degrees: the nearest of c is b, of b it is a.
    turn = np.deg2rad([0.0, 10.0, 40.0, 100.0, 45.0])
    column = pa.array(np.stack([np.cos(turn), np.sin(turn)], 1).tolist(), pa.list_(pa.float32()))
    pq.write_table(pq.read_table(file).append_column("embedding", column), file)
    cosine = {n: float(np.cos(np.deg2rad(n))) for n in (10, 30, 60)}
    union = {
        ("a", "b"): (0.5 + 2 * cosine[10], GIVEN | KNN),
        ("b", "c"): (2 * cosine[30], KNN),
        ("c", "d"): (0.25 + 2 * cosine[60], GIVEN | KNN),
    }
    mutual = {("a", "b"): union["a", "b"], ("c", "d"): (0.25, GIVEN)}
    either = KnnConfig(embeddings="embedding", top_k=1, scale=2.0)
    for want, knn in (
        (union, either),
        (mutual, replace(either, symmetric="mutual")),
        (mutual, replace(either, min_weight=0.9)),
    ):
        found = read.pairs(build(folder, GraphConfig(knn=knn)))
        assert {pair: bits for pair, (_, bits) in found.items()} == {
            pair: bits for pair, (_, bits) in want.items()
        }
        weights = {pair: weight for pair, (weight, _) in want.items()}
        assert {pair: weight for pair, (weight, _) in found.items()} == pytest.approx(weights)


def contents(graph):
    """All that a graph holds, apart from its names and how it was built."""
    arrays = {name: getattr(graph, name) for name in ("rowptr", "col", "weight", "kind")}
    labels = graph.labels["queries"]
    arrays |= {"labelled": labels.rowptr, "label": labels.index, "share": labels.weight}
    found = {name: array.tolist() for name, array in arrays.items()}
    return found, list(graph.vocabulary["queries"]), graph.info["counts"]


def split_into_parts(folder, seed, as_name):
    """Every log table as a folder of shuffled parts, one of which is without rows."""
    for name in ("impressions", "clicks", "similar_clicks", "edges"):
        file = folder / f"{name}.parquet"
        table = pq.read_table(file)
        file.unlink()
        home = folder / (name if as_name else f"{name}.parquet")
        home.mkdir()
        order = list(range(table.num_rows))
        random.Random(seed).shuffle(order)
        # Of a part without rows the types are often left to chance.
        nothing = pa.table({column: pa.array([], pa.null()) for column in table.column_names})
        parts = [table.take(pa.array(order[n::2], pa.int64())) for n in range(2)]
        for number, part in enumerate((nothing, *parts)):
            pq.write_table(part, home / f"part-{(number + seed) % 3}.parquet")


@settings(max_examples=8, deadline=None)
@given(tables=everything, seed=st.integers(0, 99), as_name=st.booleans())
def test_order_and_part_files_change_nothing(tabled, build, tables, seed, as_name):
    config = GraphConfig(coclick=CoclickConfig(top_k=1), given=GivenConfig(top_k=1))
    # Of one type in every part: Arrow makes a column of nulls a type of its own.
    tables["edges"] = [(u, v, w, kind or "given") for u, v, w, kind in tables["edges"]]
    folder = tabled(NODES, **tables)
    one = contents(build(folder, config))
    split_into_parts(folder, seed, as_name)
    assert contents(build(folder, config)) == one


@pytest.mark.parametrize("weighting", ["idf_cosine", *EXACT])
def test_blocks_and_batches_change_nothing(tabled, build, monkeypatch, weighting):
    """What is worked off or read piece by piece is cut here into pieces of a few rows."""
    rng = random.Random(weighting)
    table = [
        (rng.randrange(9), rng.choice("xyz"), rng.randrange(40), rng.randrange(2))
        for _ in range(400)
    ]
    folder = tabled(range(40), impressions=table, edges=[(n, n + 1, 1.0) for n in range(9)])
    config = GraphConfig(coclick=CoclickConfig(weighting=weighting))
    one = contents(build(folder, config))
    monkeypatch.setattr(engine_duckdb, "_BLOCK_PAIRS", 300)
    monkeypatch.setattr(writer, "_BATCH", 3)
    assert contents(build(folder, config)) == one
    assert one[2]["coclick_pairs"] > 200


TABLES = {
    "impressions": [(0, "q", "a", 1), (0, "q", "b", 1)],
    "similar_clicks": [("b", "c", 1, 2)],
    "edges": [("c", "d", 3.0)],
}
PAIR: dict[Kind, tuple[str, str]] = {
    "coclick": ("a", "b"),
    "similar": ("b", "c"),
    "given": ("c", "d"),
}


@pytest.mark.parametrize("kinds", [("coclick",), ("similar",), ("given", "coclick")])
def test_kinds_restricts(tabled, read, build, kinds):
    graph = build(tabled("abcd", **TABLES), GraphConfig(kinds=kinds))
    assert set(read.pairs(graph)) == {PAIR[kind] for kind in kinds}
    # The log still labels the images.
    assert read.labels(graph) == {"a": {"q": 1}, "b": {"q": 1}}
    assert {f"{kind}_edges" for kind in kinds} == {
        name for name in graph.info["counts"] if name.endswith("_edges")
    }


NOTHING: dict[Kind, dict[str, list[tuple]]] = {
    "coclick": {"impressions": [(0, "q", "a", 1), (1, "r", "b", 1)]},
    "similar": {"similar_clicks": [("b", "b", 1, 2), ("a", "b", 0, 5)]},
    "given": {"edges": [("c", "c", 3.0)]},
}


@pytest.mark.parametrize("kind", NOTHING)
@pytest.mark.parametrize("earlier", [False, True])
def test_a_kind_asked_for_that_gives_no_edge(tabled, read, build, kind, earlier):
    folder = tabled("abcd", **TABLES)
    config = GraphConfig(kinds=tuple(PAIR))
    pairs = read.pairs(build(folder, config)) if earlier else None
    bare = tabled("abcd", **(TABLES | NOTHING[kind]))
    (name,) = NOTHING[kind]
    (bare / f"{name}.parquet").replace(folder / f"{name}.parquet")
    before = sorted(folder.iterdir())
    with pytest.raises(DataError, match=rf"graph\.kinds has {kind}, but its table or its rules"):
        build(folder, config)
    assert sorted(folder.iterdir()) == before, "something was written"
    # Not asked for by name, it may be empty.
    graph = build(folder, GraphConfig())
    assert set(read.pairs(graph)) == set(PAIR.values()) - {PAIR[kind]}
    assert pairs is None or set(pairs) == set(PAIR.values())


def test_rules_that_leave_no_edge_of_a_kind_asked_for(tabled, build):
    folder = tabled("abcd", **TABLES)
    for kind, config in (
        ("similar", GraphConfig(kinds=("similar",), similar=SimilarConfig(min_weight=0.6))),
        ("coclick", GraphConfig(kinds=("coclick",), coclick=CoclickConfig(support=2))),
        ("given", GraphConfig(kinds=("given",), given=GivenConfig(min_weight=3.5))),
    ):
        with pytest.raises(DataError, match=f"graph.kinds has {kind}, but its table or its rules"):
            build(folder, config)
    assert not (folder / "graph").exists()


def test_a_kind_asked_for_without_its_table(tabled, build):
    folder = tabled("abcd", edges=TABLES["edges"])
    missing: dict[Kind, str] = {
        "coclick": r"no impressions\.parquet nor clicks\.parquet",
        "similar": r"no similar_clicks\.parquet",
    }
    for kind, message in missing.items():
        with pytest.raises(DataError, match=rf"graph\.kinds has {kind}, but there is {message}"):
            build(folder, GraphConfig(kinds=("given", kind)))
    assert not (folder / "graph").exists()


@pytest.mark.parametrize("weighting", ["idf_cosine", "jaccard", "shared_queries"])
@settings(max_examples=8, deadline=None)
@given(table=listed(queries, images, clicks), support=st.integers(1, 2))
def test_clicks_alone(tabled, of_columns, plain, read, build, weighting, table, support):
    config = GraphConfig(coclick=CoclickConfig(weighting=weighting, support=support, top_k=None))
    graph = build(tabled(NODES, clicks=table), config)
    want = plain([], config, of_columns("clicks", table)).weights()
    both = {(v, u): w for (u, v), w in want.items()}
    assert read.edges(graph) == pytest.approx(want | both, rel=1e-6)
    assert graph.info["counts"]["clicks_rows"] == len(table)


@pytest.mark.parametrize("weighting", ["coclick_rate", "coclick_count"])
def test_clicks_alone_have_no_result_lists(tabled, build, weighting):
    folder = tabled("ab", clicks=[("q", "a", 1), ("q", "b", 1)])
    config = GraphConfig(coclick=CoclickConfig(weighting=weighting))
    with pytest.raises(DataError, match=rf"weighting {weighting} needs .* no impressions\.parquet"):
        build(folder, config)
    assert not (folder / "graph").exists()


@settings(max_examples=8, deadline=None)
@given(tables=everything)
def test_clicks_and_impressions_add_up(tabled, of_columns, plain, read, build, tables):
    config = GraphConfig(coclick=CoclickConfig(top_k=None))
    tables = {name: tables[name] for name in ("impressions", "clicks")}
    graph = build(tabled(NODES, **tables), config)
    rows = {name: of_columns(name, table) for name, table in tables.items()}
    truth = plain(rows["impressions"], config, rows["clicks"])
    want = truth.weights()
    both = {(v, u): w for (u, v), w in want.items()}
    assert read.edges(graph) == pytest.approx(want | both, rel=1e-6)
    labels, shares = read.labels(graph), truth.query_labels()
    assert labels.keys() == shares.keys()
    assert all(labels[image] == pytest.approx(shares[image], rel=1e-6) for image in labels)


def test_wrong_clicks(tabled, build):
    for row, message in (
        (("q", "b", 3, 2), r"column 'clicks', row 1 \(image_id 'b'\): 3 more clicks than impress"),
        (("q", "b", -3, 2), r"column 'clicks', row 1 \(image_id 'b'\): -3 must be a whole number"),
        ((None, "b", 3, 3), r"column 'query', row 1 \(image_id 'b'\): null must not be null"),
        (("q", "zz", 3, 3), r"column 'image_id', row 1: 'zz' is not in images\.parquet"),
    ):
        with pytest.raises(DataError, match=rf"clicks\.parquet: {message}"):
            build(tabled("ab", clicks=[("q", "a", 1, 1), row]), GraphConfig())
