"""Result lists: which images of a long one are looked at, and lists without a click."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.config import CoclickConfig, GraphConfig, QueryConfig

entries = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from("xy"), st.sampled_from("abcdefg"), st.booleans()),
    min_size=1,
    max_size=60,
)


def lists(weighting, **settings):
    return GraphConfig(coclick=CoclickConfig(weighting=weighting, top_k=None, **settings))


def capped(log, cap, support):
    """(both clicked, both shown, images cut) of pairs; of a list only the first `cap` count.

    Of the clicked images the first nodes make pairs; then, among images of any pair, those clicked
    come first.
    """
    pages = defaultdict(dict)
    for session, query, image, clicked in log:
        page = pages[session, query]
        page[image] = page.get(image, False) or bool(clicked)
    clicked, shown, cut = Counter(), Counter(), 0
    for page in pages.values():
        found = sorted(image for image in page if page[image])
        cut += len(found[cap:])
        clicked.update((u, v) for u in found[:cap] for v in found[:cap] if u < v)
    clicked = {pair: count for pair, count in clicked.items() if count >= support}
    paired = {image for pair in clicked for image in pair}
    for page in pages.values():
        found = sorted(paired & set(page), key=lambda image: (not page[image], image))[:cap]
        shown.update((u, v) for u in found for v in found if u < v)
    return clicked, shown, cut


@settings(max_examples=20, deadline=None)
@given(log=entries, cap=st.integers(2, 4), support=st.integers(1, 2))
def test_rates_of_long_lists_equal_plain_python(tabled, read, build, log, cap, support):
    graph = build(
        tabled("abcdefg", impressions=log),
        lists("coclick_rate", images_per_query=cap, support=support),
    )
    clicked, shown, _ = capped(log, cap, support)
    found = {pair: weight for pair, (weight, _) in read.pairs(graph).items()}
    assert found == pytest.approx({p: clicked[p] / shown[p] for p in clicked}, rel=1e-6)
    assert all(0 < rate <= 1 for rate in found.values())


@settings(max_examples=12, deadline=None)
@given(log=entries, cap=st.integers(2, 4), support=st.integers(1, 2))
def test_counts_of_long_lists_equal_plain_python(tabled, read, build, log, cap, support):
    graph = build(
        tabled("abcdefg", impressions=log),
        lists("coclick_count", images_per_query=cap, support=support),
    )
    clicked, _, cut = capped(log, cap, support)
    assert {pair: weight for pair, (weight, _) in read.pairs(graph).items()} == clicked
    assert graph.info["counts"]["clicked_pairs_over_cap"] == cut


def test_clicked_images_come_first(tabled, read, build):
    """Of a long list those clicked are looked at, not those that stand first among the nodes."""
    log = [(0, "q", image, image in "ef") for image in "abcdef"]
    log += [(1, "q", image, True) for image in "ab"]
    for cap, both_shown in ((2, 1), (3, 1), (4, 2)):
        graph = build(
            tabled("abcdef", impressions=log), lists("coclick_rate", images_per_query=cap)
        )
        # Of list 0, a and b are looked at together only if there is room behind e and f.
        assert read.pairs(graph) == {("a", "b"): (1 / both_shown, 1), ("e", "f"): (1.0, 1)}


def test_images_of_no_pair_take_no_place_in_a_long_list(tabled, read, build):
    log = [(0, "q", image, image == "a") for image in "abcdef"]
    log += [(1, "q", image, True) for image in "ef"]
    graph = build(tabled("abcdef", impressions=log), lists("coclick_rate", images_per_query=2))
    assert read.pairs(graph) == {("e", "f"): (0.5, 1)}


@pytest.mark.parametrize("normalize", [True, False])
def test_lists_without_a_click_count_as_shown(tabled, read, build, normalize):
    log = [(0, "q", "a", True), (0, "q", "b", True)]
    # The same query, and queries that nobody ever clicked, in whatever spelling.
    for session, query in ((1, "q"), (2, "new"), (3, "new"), (3, "New "), (3, "\u00dcBER")):
        log += [(session, query, "a", False), (session, query, "b", False)]
    log += [(4, "q", "a", False), (5, "new", "b", False)]
    log += [(6, "", "a", False), (6, "", "b", False)]
    config = GraphConfig(
        coclick=CoclickConfig(weighting="coclick_rate"),
        queries=QueryConfig(normalize=normalize),
    )
    graph = build(tabled("ab", impressions=log), config)
    # Two spellings of one session are one list.
    both_shown = 5 if normalize else 6
    assert read.edges(graph) == pytest.approx(
        {("a", "b"): 1 / both_shown, ("b", "a"): 1 / both_shown}
    )
    assert graph.vocabulary["queries"] == ["q"]


def test_clicks_beside_the_lists_change_no_rate(tabled, read, build):
    log = [(0, "q", "a", True), (0, "q", "b", True), (1, "r", "a", False), (1, "r", "b", False)]
    folder = tabled("abc", impressions=log, clicks=[("s", "a", 5), ("s", "c", 5)])
    graph = build(folder, lists("coclick_rate"))
    assert read.pairs(graph) == {("a", "b"): (0.5, 1)}
    # They are labels all the same.
    assert read.labels(graph)["c"] == {"s": 1}


def test_a_list_of_a_thousand_images(tabled, read, build):
    images = list(range(1000))
    log = [(0, "q", image, image % 2 == 1) for image in images]
    log += [(1, "q", image, False) for image in images]
    log += [(2, "q", image, image < 4) for image in images]
    folder = tabled(images, impressions=log)
    graph = build(folder, lists("coclick_rate", images_per_query=100))
    # List 0: of 500 clicked, the first hundred pair up. List 2: 0 to 3 do, and 1 and 3 again.
    odd = [image for image in images if image % 2][:100]
    want = {(u, v): 1 / 3 for u in odd for v in odd if u < v}
    # 102 images are in pairs: the lists 1 and 2 have no room for the last two.
    for u, v in want:
        want[u, v] = 1 / (1 if v > 195 else 3)
    want |= {(u, v): 1 / 2 for u in range(4) for v in range(u + 1, 4)} | {(1, 3): 2 / 3}
    found = {pair: weight for pair, (weight, _) in read.pairs(graph).items()}
    assert found == pytest.approx(want, rel=1e-6)
    assert graph.info["counts"]["coclick_pairs"] == 100 * 99 // 2 + 6
    graph = build(folder, lists("coclick_count", images_per_query=100))
    assert graph.info["counts"]["clicked_pairs_over_cap"] == 400
    assert graph.info["warnings"] == ["400 (query, image) pairs cut by coclick.images_per_query"]
