"""Spellings of queries made one, and queries as soft labels, against plain Python."""

import unicodedata
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.config import CoclickConfig, GraphConfig, QueryConfig
from graphrise.graph.sql.queries import normalize_query

SPELLINGS = {
    "cat": ["cat", " Cat", "CAT\u3000", "\uff23\uff21\uff34", "cat\n"],
    "strasse": ["strasse", "Stra\u00dfe", "STRA\u1e9eE"],
    "y z": ["y z", "Y\u00a0\u2003Z", "\uff59 \t z"],
}
SPELLING_OF = {spelling: query for query, of in SPELLINGS.items() for spelling in of}
spelt = st.sampled_from(sorted(SPELLING_OF))


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("\uff26\uff55\uff4c\uff4c \uff11\uff12", "full 12"),
        ("\ufb01n e\ufb00ect", "fin effect"),
        ("Stra\u00dfe \u1e9e", "strasse ss"),
        ("\u0130stanbul", "i\u0307stanbul"),
        ("cafe\u0301", "caf\u00e9"),
        ("\u03a3\u0391\u03a3 \u03c3\u03b1\u03c2", "\u03c3\u03b1\u03c3 \u03c3\u03b1\u03c3"),
        ("\u2163 \u33a5 x\u00b2", "iv m3 x2"),
        ("  a \t b\r\nc  ", "a b c"),
        ("a\u00a0b\u3000c\u2003d\u2028e\u202ff\u1680g\u0085h\x1fi", "a b c d e f g h i"),
        ("\u3000\u00a0\t", ""),
        ("", ""),
        # Capitals only after NFKC, so that it comes before folding.
        ("\u2122 \u210c\u1d2c", "tm ha"),
        # Folding takes the parts of this accent apart, a second NFKC puts them together.
        ("\u0390", "\u0390"),
        ("PLAIN ascii", "plain ascii"),
    ],
)
def test_one_spelling(text, want):
    assert normalize_query(text) == want


@settings(max_examples=500, deadline=None)
@given(text=st.text() | st.text(st.characters(categories=("Lu", "Lo", "Mn", "Zs", "No"))))
def test_normalizing_twice_is_normalizing_once(text):
    once = normalize_query(text)
    assert normalize_query(once) == once
    assert once == " ".join(once.split())
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert normalize_query(unicodedata.normalize(form, text)) == once
    assert unicodedata.normalize("NFKC", once) == once


@pytest.mark.parametrize("normalize", [True, False])
@settings(max_examples=10, deadline=None)
@given(
    table=st.lists(
        st.tuples(st.integers(0, 2), spelt, st.sampled_from("abcd"), st.integers(0, 4)),
        min_size=1,
        max_size=30,
    ),
    weighting=st.sampled_from(["idf_cosine", "coclick_rate"]),
)
def test_spellings_are_joined_in_edges_labels_and_lists(
    tabled, of_columns, plain, read, build, normalize, table, weighting
):
    config = GraphConfig(
        queries=QueryConfig(normalize=normalize),
        coclick=CoclickConfig(weighting=weighting, top_k=None),
    )
    graph = build(tabled("abcd", impressions=table), config)
    if normalize:
        table = [(session, SPELLING_OF[query], *rest) for session, query, *rest in table]
    truth = plain(of_columns("impressions", table), config)
    want = truth.weights()
    both = {(v, u): w for (u, v), w in want.items()}
    assert read.edges(graph) == pytest.approx(want | both, rel=1e-6)
    check_labels(read.labels(graph), truth.query_labels())
    assert sorted(graph.vocabulary["queries"]) == sorted(truth.images_of)


def check_labels(got, want):
    assert got.keys() == want.keys()
    for image in want:
        assert got[image] == pytest.approx(want[image], rel=1e-5)


@pytest.mark.parametrize("weighting", ["share", "idf"])
@settings(max_examples=12, deadline=None)
@given(
    table=st.lists(
        st.tuples(st.sampled_from("wxyz"), st.sampled_from("abcdef"), st.integers(0, 4)),
        min_size=1,
        max_size=30,
    ),
    min_clicks=st.integers(1, 6),
    min_pair_clicks=st.integers(1, 3),
)
def test_which_queries_are_labels(
    tabled, of_columns, plain, read, build, weighting, table, **rules
):
    config = GraphConfig(queries=QueryConfig(weighting=weighting, **rules))
    graph = build(tabled("abcdef", clicks=table), config)
    truth = plain([], config, of_columns("clicks", table))
    got = read.labels(graph)
    check_labels(got, truth.query_labels())
    # By falling clicks of the pairs kept, then of the query, then by name.
    kept, total = Counter(), Counter()
    for (query, image), clicks in truth.clicked.items():
        total[query] += clicks
        kept[query] += clicks if query in got.get(image, ()) else 0
    order = sorted(+kept, key=lambda query: (-kept[query], -total[query], query))
    assert graph.vocabulary["queries"] == order
    summary = graph.info["labels"]["queries"]
    assert summary["labelled_images"] == len(got)
    assert summary["coverage"] == len(got) / 6
    assert summary["entries"] == sum(map(len, got.values()))
    # Labels left out still make edges.
    assert set(truth.weights()) == set(read.pairs(graph))


@pytest.mark.parametrize("weighting", ["share", "idf"])
@settings(max_examples=10, deadline=None)
@given(
    table=st.lists(
        st.tuples(st.sampled_from("vwxyz"), st.sampled_from("abc"), st.integers(1, 4)),
        min_size=1,
        max_size=30,
    ),
    per_image=st.integers(1, 3),
)
def test_per_image_keeps_the_heaviest(
    tabled, of_columns, plain, read, build, weighting, table, per_image
):
    folder = tabled("abc", clicks=table)
    every = read.labels(build(folder, GraphConfig(queries=QueryConfig(weighting=weighting))))
    config = GraphConfig(queries=QueryConfig(weighting=weighting, per_image=per_image))
    got = read.labels(build(folder, config))
    truth = plain([], config, of_columns("clicks", table))
    if weighting == "share":  # whole numbers: ties are ties
        check_labels(got, truth.query_labels())
    assert got.keys() == every.keys()
    for image, shares in got.items():
        heaviest = sorted(every[image].values(), reverse=True)[:per_image]
        want = pytest.approx([weight / sum(heaviest) for weight in heaviest], rel=1e-5)
        assert sorted(shares.values(), reverse=True) == want
        kept = sum(every[image][query] for query in shares)
        assert shares == pytest.approx({q: every[image][q] / kept for q in shares}, rel=1e-5)


def test_equal_shares_go_to_the_query_with_more_clicks_then_the_first(tabled, read, build):
    table = [("b", "x", 2), ("a", "x", 2), ("z", "x", 2), ("z", "y", 1)]
    folder = tabled("xy", clicks=table)
    for per_image, want in ((1, {"z"}), (2, {"z", "a"}), (3, {"z", "a", "b"})):
        graph = build(folder, GraphConfig(queries=QueryConfig(per_image=per_image)))
        assert set(read.labels(graph)["x"]) == want
        assert graph.vocabulary["queries"] == sorted(want, key="zab".index)


def test_the_vocabulary_is_in_order_of_the_clicks_kept(tabled, build):
    folder = tabled("abc", clicks=[("x", "a", 3), ("x", "b", 2), ("x", "c", 2), ("y", "a", 4)])
    for least, want in ((1, ["x", "y"]), (3, ["y", "x"])):
        graph = build(folder, GraphConfig(queries=QueryConfig(min_pair_clicks=least)))
        assert graph.vocabulary["queries"] == want


def test_rare_queries_weigh_more_by_idf(tabled, read, build):
    table = [("rare", "a", 1), ("all", "a", 1), ("all", "b", 1), ("all", "c", 1)]
    folder = tabled("abc", clicks=table)
    graph = build(folder, GraphConfig(queries=QueryConfig(weighting="idf")))
    # ln(1 + 3 / 1) = 2 ln 2 against ln(1 + 3 / 3) = ln 2.
    assert read.labels(graph)["a"] == pytest.approx({"rare": 2 / 3, "all": 1 / 3}, rel=1e-5)


EMPTY = ["", " ", "\u3000\u00a0", "\t\n"]


@pytest.mark.parametrize("weighting", ["idf_cosine", "coclick_rate", "coclick_count"])
def test_queries_without_a_letter_are_left_out(tabled, read, build, weighting):
    log = [(0, query, image, 1) for query in EMPTY for image in "ab"]
    log += [(1, "q", image, 1) for image in "cd"]
    config = GraphConfig(coclick=CoclickConfig(weighting=weighting))
    graph = build(tabled("abcd", impressions=log), config)
    assert set(read.pairs(graph)) == {("c", "d")}
    assert set(read.labels(graph)) == {"c", "d"}
    assert graph.vocabulary["queries"] == ["q"]
    counts = graph.info["counts"]
    assert (counts["clicks"], counts["clicks_without_query"]) == (2, 2 * len(EMPTY))
    assert graph.info["warnings"] == ["8 clicks for a query of white space only left out"]


def test_without_normalizing_only_the_empty_query_is_left_out(tabled, read, build):
    table = [(query, "ab"[n % 2], 1) for n, query in enumerate([*EMPTY, "A", "a"])]
    graph = build(tabled("ab", clicks=table), GraphConfig(queries=QueryConfig(normalize=False)))
    assert sorted(graph.vocabulary["queries"]) == sorted([*EMPTY[1:], "A", "a"])
    assert read.pairs(graph) == {}
    assert graph.info["counts"]["clicks_without_query"] == 1


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("kind", [pa.int64(), pa.uint8(), pa.string()])
def test_queries_that_are_numbers(tabled, read, build, normalize, kind):
    """As their digits: number 9 of one table is text 9 of the other."""
    folder = tabled(
        "abcd",
        impressions=[(0, 9, "a", 1), (0, 9, "b", 1), (0, 10, "c", 1)],
        clicks=[("9", "c", 1), ("10", "d", 1)],
    )
    log = pq.read_table(folder / "impressions.parquet")
    pq.write_table(
        log.set_column(1, "query", log["query"].cast(kind)), folder / "impressions.parquet"
    )
    graph = build(folder, GraphConfig(queries=QueryConfig(normalize=normalize)))
    assert graph.vocabulary["queries"] == ["9", "10"]
    assert read.labels(graph)["c"] == {"9": 0.5, "10": 0.5}
    assert set(read.pairs(graph)) == {("a", "b"), ("a", "c"), ("b", "c"), ("c", "d")}
    clicked_twice = [(0, 10, "a", 1), (0, 9, "a", 1)]
    graph = build(tabled("a", impressions=clicked_twice), GraphConfig())
    assert graph.vocabulary["queries"] == ["10", "9"], "equal clicks: in the order of text"


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_text_of_other_arrow_types(tabled, read, build, kind):
    folder = tabled("ab", clicks=[("Q", "a", 1), ("q ", "b", 1)])
    table = pq.read_table(folder / "clicks.parquet")
    for at, name in enumerate(("query", "image_id")):
        table = table.set_column(at, name, table[name].cast(kind))
    pq.write_table(table, folder / "clicks.parquet")
    graph = build(folder, GraphConfig())
    assert read.labels(graph) == {"a": {"q": 1}, "b": {"q": 1}}
    assert read.edges(graph) == {("a", "b"): 1, ("b", "a"): 1}
