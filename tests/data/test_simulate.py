"""Simulated sessions: who clicks what, and that a log repeats."""

import math
from collections import Counter, defaultdict

import pytest

from graphrise.data.simulate import SimulatorConfig, shared_keywords, simulate_impressions
from graphrise.errors import ConfigError, DataError

# Six concepts of five images each; every keyword belongs to two or three concepts.
CONCEPTS = [c for c in range(6) for _ in range(5)]
IDS = [f"{c}-{i}" for i, c in enumerate(CONCEPTS)]
WORDS = {c: (f"pair {c // 2}", f"third {c % 2}") for c in range(6)}


def simulated(**settings):
    table = simulate_impressions(IDS, CONCEPTS, WORDS, SimulatorConfig(**settings))
    return table.to_pylist()


def pages(rows):
    found = defaultdict(list)
    for row in rows:
        found[row["session"]].append(row)
    return found


def test_pages_are_what_the_rules_say():
    rows = simulated(sessions=400, page=8, intruders=0.5, seed=3)
    found = pages(rows)
    assert sorted(found) == list(range(400))
    strangers = 0
    for page in found.values():
        assert len({r["query"] for r in page}) == 1
        assert len({r["image_id"] for r in page}) == len(page) <= 9
        carriers = {c for c, words in WORDS.items() if page[0]["query"] in words}
        outside = [r for r in page if int(r["image_id"][0]) not in carriers]
        assert len(outside) <= 1
        strangers += len(outside)
    # Half the pages get an intruder; it carries the keyword too in 1/3 or 1/2 of the cases.
    assert 60 < strangers < 200


def test_click_rates_follow_their_chances():
    rows = simulated(sessions=3000, click_meant=1.0, click_other=0.1, click_intruder=0.0, seed=1)
    clicked = Counter()
    for page in pages(rows).values():
        carriers = {c for c, words in WORDS.items() if page[0]["query"] in words}
        sure = {
            c for c in carriers if all(r["clicked"] for r in page if int(r["image_id"][0]) == c)
        }
        assert sure, "the concept meant was not clicked on its page"
        for r in page:
            concept = int(r["image_id"][0])
            if concept not in carriers:
                assert not r["clicked"]
            elif concept not in sure:
                clicked[r["clicked"]] += 1
    share = clicked[True] / clicked.total()
    # Concepts clicked in full by chance are left out above: the bound is one-sided by 1e-5.
    assert abs(share - 0.1) < 5 * math.sqrt(0.1 * 0.9 / clicked.total()) + 1e-3


def test_repeats_by_seed_and_holds_no_concept():
    assert simulated(sessions=50) == simulated(sessions=50)
    assert simulated(sessions=50) != simulated(sessions=50, seed=1)
    assert set(simulated(sessions=5)[0]) == {"session", "query", "image_id", "clicked"}


def test_popularity_has_a_head():
    flat, steep = (
        Counter(p[0]["query"] for p in pages(simulated(sessions=2000, popularity=z)).values())
        for z in (0.0, 3.0)
    )
    assert max(steep.values()) > 1.5 * max(flat.values())


def test_unique_keywords_can_be_dropped():
    words = {0: ("own", "shared", "shared"), 1: ("shared",), 2: ("alone",)}
    assert shared_keywords(words, True) == {0: ["shared"], 1: ["shared"], 2: []}
    assert shared_keywords(words, False) == {0: ["own", "shared"], 1: ["shared"], 2: ["alone"]}


def test_no_session_and_no_keyword():
    empty = simulate_impressions(IDS, CONCEPTS, WORDS, SimulatorConfig(sessions=0))
    assert empty.num_rows == 0
    assert [str(t) for t in empty.schema.types] == ["int64", "string", "string", "bool"]
    with pytest.raises(DataError, match="no concept has both an image and a usable keyword"):
        simulate_impressions(["a"], [0], {0: ("own",)}, SimulatorConfig())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sessions": -1}, "sessions must be >= 0"),
        ({"page": 0}, "page >= 1"),
        ({"click_meant": 1.5}, r"click_meant is a probability, got 1\.5"),
        ({"intruders": -0.1}, "intruders"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(ConfigError, match=message):
        SimulatorConfig(**settings)
