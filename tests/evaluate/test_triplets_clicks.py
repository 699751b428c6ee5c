"""Triplets of held-out clicks: the rule once more in plain Python, and draws that are uniform."""

import hashlib
import os
import shutil
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.config import EngineConfig, HeldOutConfig
from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.triplets import NoTriplets
from graphrise.evaluate.triplets_clicks import click_triplets

IMAGES = list("gfedcba")  # rows that are not in the order of the names
ALL = HeldOutConfig(share=1 - 2**-40)
entries = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from("xy"), st.sampled_from(IMAGES), st.integers(0, 2)),
    min_size=1,
    max_size=50,
)


@pytest.fixture(scope="module")
def logged(make, tmp_path_factory):
    """Dataset folder of images and a log of (session, query, image, clicked)."""

    def write(log, images=IMAGES):
        rows = [{"image_id": i, "split": "train", "image": b"not read here"} for i in images]
        names = ("session", "query", "image_id", "clicked")
        log = [dict(zip(names, entry, strict=True)) for entry in log]
        return make.save_tables(tmp_path_factory.mktemp("d"), rows, log)

    return write


def is_held_out(session, config):
    bits = hashlib.md5(f"{config.seed}:{session}".encode()).hexdigest()[:13]
    return int(bits, 16) < int(config.share * 2**52)


def possible(log, config):
    """{(anchor, positive, negative): lists that give it}, and held-out lists that give none."""
    lists = defaultdict(dict)
    for session, query, image, clicked in log:
        if is_held_out(session, config):
            page = lists[session, query]
            page[image] = page.get(image, False) or clicked > 0
    found, without = Counter(), 0
    for page in lists.values():
        clicked = [image for image in page if page[image]]
        passed = [image for image in page if not page[image]]
        triplets = [(a, p, n) for a in clicked for p in clicked for n in passed if a != p]
        without += not triplets
        found.update(triplets)
    return found, without


def names(triplets, images=IMAGES):
    rows = zip(triplets.anchor, triplets.positive, triplets.negative, strict=True)
    return [tuple(images[row] for row in triplet) for triplet in rows]


@settings(max_examples=25, deadline=None)
@given(
    log=entries,
    share=st.sampled_from([0.5, ALL.share]),
    seed=st.integers(0, 3),
    count=st.integers(1, 12),
    spelt=st.sampled_from([int, "session-{}".format]),
)
def test_triplets_are_those_of_plain_python(logged, log, share, seed, count, spelt):
    log = [(spelt(session), *rest) for session, *rest in log]
    config = HeldOutConfig(share=share, seed=seed)
    found, without = possible(log, config)
    folder = logged(log)
    if not found:
        with pytest.raises(NoTriplets, match=r"held-out sessions has two .* raise triplets\.share"):
            click_triplets(folder, config)
        return
    every = click_triplets(folder, config)
    assert sorted(names(every)) == sorted(found)
    assert every.skipped == without
    some = click_triplets(folder, replace(config, count=count))
    assert set(names(some)) <= set(found)
    assert len(set(names(some))) == len(some.anchor) <= count
    # Fewer only where several lists gave the same.
    repeats = found.total() - len(found)
    assert len(some.anchor) >= min(count, found.total()) - repeats


def one_sort_of_lists(lists, rng):
    """Lists of eight images of their own, of which four were clicked, in any order."""
    log = []
    for number in range(lists):
        for place in rng.permutation(8):
            log.append((f"s{number}", "q", f"{number}-{place}", int(place < 4)))
    return [log[i] for i in rng.permutation(len(log))]


def test_draws_are_uniform_and_seeds_repeat(logged):
    lists, rng = 200, np.random.default_rng(0)
    images = [f"{n}-{p}" for n in range(lists) for p in range(8)]
    folder = logged(one_sort_of_lists(lists, rng), images)
    config = replace(ALL, count=3000)
    triplets = click_triplets(folder, config)
    assert len(triplets.anchor) == 3000
    rows = np.stack([triplets.anchor, triplets.positive, triplets.negative])
    of_list, place = rows // 8, rows % 8
    assert (of_list == of_list[0]).all()
    assert (place[:2] < 4).all()
    assert (place[2] >= 4).all()
    triplet = place[0] * 100 + place[1] * 10 + place[2]
    for values, kinds in ((of_list[0], lists), (triplet, 4 * 3 * 4)):
        counts = np.unique(values, return_counts=True)[1]
        assert len(counts) == kinds
        expected = 3000 / kinds
        # A chi-square: six standard deviations above its mean are not met by chance.
        surplus = ((counts - expected) ** 2 / expected).sum() - (kinds - 1)
        assert surplus < 6 * np.sqrt(2 * (kinds - 1))
    # Neither the order of the rows nor the threads are seen.
    again = click_triplets(
        logged(one_sort_of_lists(lists, rng), images), config, EngineConfig(threads=1)
    )
    assert names(again, images) == names(triplets, images)
    other = click_triplets(folder, replace(config, seed=1))
    assert names(other, images) != names(triplets, images)


def test_shares_and_seeds_hold_out_what_they_say(logged):
    log = [(s, "q", image, image != "a") for s in range(400) for image in "abc"]
    for config in (HeldOutConfig(share=0.25), HeldOutConfig(share=0.25, seed=1)):
        triplets = click_triplets(logged(log), replace(config, count=10**6))
        assert sorted(names(triplets)) == [("b", "c", "a"), ("c", "b", "a")]
    held = {seed: {s for s in range(400) if is_held_out(s, HeldOutConfig(share=0.25, seed=seed))}
            for seed in (0, 1)}  # fmt: skip
    assert all(70 < len(sessions) < 130 for sessions in held.values())
    assert 10 < len(held[0] & held[1]) < 45


@pytest.mark.spark
@pytest.mark.slow
def test_spark_draws_the_same(logged, tmp_path, monkeypatch):
    pytest.importorskip("pyspark", reason="pyspark is not installed")
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("Java is not installed")
    # Spark's 200 parts of everything would take their time.
    (tmp_path / "spark-defaults.conf").write_text("spark.sql.shuffle.partitions 2\n")
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    lists = 20
    images = [f"{n}-{p}" for n in range(lists) for p in range(8)]
    folder = logged(one_sort_of_lists(lists, np.random.default_rng(0)), images)
    config = HeldOutConfig(share=0.6, count=50)
    one = click_triplets(folder, config)
    other = click_triplets(folder, config, EngineConfig(name="spark", threads=1))
    assert names(other, images) == names(one, images)
    assert other.skipped == one.skipped


def test_what_is_wrong_in_the_log_is_named(logged):
    log = [(0, "q", "a", 1), (0, "q", "b", 1), (0, "q", "zz", 0), (0, "q", "c", 0)]
    folder = logged(log)
    with pytest.raises(DataError, match=r"impressions\.parquet: column 'image_id', row 2: 'zz'"):
        click_triplets(folder, ALL)
    dropped = click_triplets(folder, ALL, drop_unknown=True)
    assert sorted(names(dropped)) == [("a", "b", "c"), ("b", "a", "c")]
    with pytest.raises(DataError, match=r"column 'clicked', row 1 \(image_id 'b'\): -1"):
        click_triplets(logged([(0, "q", "a", 1), (0, "q", "b", -1)]), ALL)
    with pytest.raises(NoTriplets, match="0 result lists of 0 held-out sessions"):
        click_triplets(logged(log[:1]), HeldOutConfig(share=2**-52))
    (folder / "impressions.parquet").unlink()
    with pytest.raises(DataError, match=r"table impressions\.parquet is missing"):
        click_triplets(folder, ALL)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": 0.0}, r"triplets\.share must lie between 0 and 1"),
        ({"share": 1.0}, r"triplets\.share"),
        ({"count": 0}, r"triplets\.count"),
        ({"seed": -1}, r"triplets\.seed"),
    ],
)
def test_settings_out_of_range(values, message):
    with pytest.raises(ConfigError, match=message):
        HeldOutConfig(**values)
