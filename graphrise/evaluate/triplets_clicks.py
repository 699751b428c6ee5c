"""Triplets of held-out sessions: two images clicked in one result list, and one passed over there.

The SQL is the one text that DuckDB and Spark both understand, as in `graphrise.graph.sql`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from graphrise.config import EngineConfig, HeldOutConfig
from graphrise.data.tables import ImageTable, read_images
from graphrise.errors import DataError
from graphrise.evaluate.triplets import NoTriplets, Triplets
from graphrise.graph.engine.base import Display, Engine, Stages, open_engine
from graphrise.graph.sql.logs import LogTable, read_table

_HEX = 13  # digits of the hash that are looked at: 52 bits, which a float holds
_HELD_OUT = "substring(md5(concat('{seed}:', cast(t.session as string))), 1, {digits}) < '{below}'"
_HELD = """
select cast(t.session as string) as session, cast(t.query as string) as query, i.node,
  max(case when cast(t.clicked as double) > 0 then 1 else 0 end) as clicked
from impressions t join images i on t.image_id = i.image_id
where {held_out}
group by cast(t.session as string), cast(t.query as string), i.node
"""
_LISTS = """
select session, query, clicked, passed, row_number() over (order by session, query) - 1 as list
from (
  select session, query, cast(sum(clicked) as bigint) as clicked,
    cast(sum(1 - clicked) as bigint) as passed
  from held group by session, query
) where clicked >= 2 and passed >= 1
"""
_PLACES = """
select l.list, h.clicked, h.node,
  row_number() over (partition by l.list, h.clicked order by h.node) - 1 as place
from held h join lists l on h.session = l.session and h.query = l.query
"""
_POSSIBLE = """
select count(*),
  coalesce(sum(cast(clicked as double) * cast(clicked - 1 as double) * cast(passed as double)), 0)
from lists
"""
_DRAWN = """
select d.number, a.node as anchor, p.node as positive, n.node as negative
from draws d
  join places a on a.list = d.list and a.place = d.anchor and a.clicked = 1
  join places p on p.list = d.list and p.place = d.positive and p.clicked = 1
  join places n on n.list = d.list and n.place = d.negative and n.clicked = 0
order by d.number
"""


def click_triplets(
    dataset: Path,
    config: HeldOutConfig,
    engine: EngineConfig | None = None,
    *,
    drop_unknown: bool = False,
    display: Display | None = None,
) -> Triplets:
    """Draw triplets from the sessions of `impressions` that `hold_out` keeps from the graph.

    A result list is one (session, query). Anchor and positive were both clicked in it; the
    negative was shown in it and not clicked. Every (list, anchor, positive, negative) is drawn with
    equal chance, without replacement; what several lists gave stands once.

    They measure whether an embedding ranks as users chose among images shown for one query, which
    are look-alikes by construction. They do not measure how like two images are: users click what
    serves them, and an image far down the page may be a negative as nobody saw it (position bias).
    A negative of one list may be a positive of another, so that no embedding reaches 1: compare
    models on the same triplets, do not read one number by itself. Sessions are held out, images and
    queries are not: a pair may be clicked together in a session of the graph too.

    Args:
        dataset: Dataset folder: `images`, `impressions`.
        config: Which sessions, how many triplets.
        engine: Runs the SQL; None: DuckDB without limits.
        drop_unknown: Leave out rows of images that images.parquet lacks, instead of refusing them.
        display: Called with the stage and the fraction done, now and then.

    Returns:
        Rows of images.parquet; `skipped` is the number of held-out lists without a triplet (fewer
        than two images clicked, or none passed over).

    Raises:
        DataError: Something in the tables is wrong (names file, column, row and value), or memory
            or disk ran out; NoTriplets: no list has a triplet.
    """
    stages = Stages(display)
    stages.start("reading images")
    images = read_images(dataset, columns=("image_id", "split"))
    with (
        tempfile.TemporaryDirectory() as beside,
        open_engine(engine or EngineConfig(), Path(beside), stages) as (opened, spill),
    ):
        stages.start("reading impressions")
        read_impressions(opened, spill, dataset, images, drop_unknown=drop_unknown)
        return draw_triplets(opened, spill, config, stages)[0]


def held_out(config: HeldOutConfig) -> str:
    """SQL condition on `t.session`: the first bits of an MD5 of seed and session say which."""
    below = format(int(config.share * 16**_HEX), f"0{_HEX}x")
    return _HELD_OUT.format(seed=config.seed, digits=_HEX, below=below)


def read_impressions(
    engine: Engine, spill: Path, dataset: Path, images: ImageTable, *, drop_unknown: bool
) -> LogTable:
    """Let an engine know `images` (image_id, node: its row) and `impressions`, checked."""
    nodes = pa.array(np.arange(len(images)))
    table = pa.table({"image_id": images.table.column("image_id"), "node": nodes})
    pq.write_table(table, spill / "images.parquet", compression="lz4")
    engine.read("images", [spill / "images.parquet"])
    return read_table(engine, dataset, "impressions", table, drop_unknown=drop_unknown)


def draw_triplets(
    engine: Engine, spill: Path, config: HeldOutConfig, stages: Stages
) -> tuple[Triplets, dict[str, int]]:
    """Draw triplets of the held-out sessions; the engine knows the tables of `read_impressions`.

    Lists are counted and places drawn, so that no more than the triplets asked for are ever made.

    Returns:
        The triplets, as `click_triplets`, and counts: sessions and lists held out, lists with a
        triplet, triplets possible, draws that gave a triplet once more.

    Raises:
        NoTriplets: No list has a triplet.
        DataError: More triplets are possible than are counted exactly.
    """
    stages.start("held-out result lists")
    engine.make("held", _HELD.format(held_out=held_out(config)))
    engine.make("lists", _LISTS)
    sessions, everything = engine.row(
        "select count(distinct session), count(*) from (select distinct session, query from held)"
    )
    useful, possible = engine.row(_POSSIBLE)
    if not useful:
        raise NoTriplets(
            f"none of the {everything} result lists of {sessions} held-out sessions has two images "
            "that were clicked and one that was not: raise triplets.share, or check that "
            "impressions.parquet has the rows that were not clicked"
        )
    if possible >= 2**53:
        raise DataError(f"{possible:.0e} triplets are possible: lower triplets.share")
    stages.start("drawing triplets")
    engine.make("places", _PLACES)
    lists = engine.export("list_sizes", "select clicked, passed from lists order by list")
    pq.write_table(_draws(lists, int(possible), config), spill / "draws.parquet")
    engine.read("draws", [spill / "draws.parquet"])
    parts = [pq.ParquetFile(file).read() for file in engine.export("drawn", _DRAWN)]
    table = pa.concat_tables(parts)
    names = ("anchor", "positive", "negative")
    rows = np.stack([table.column(name).to_numpy() for name in names], axis=1).astype(np.int64)
    first = np.sort(np.unique(rows, axis=0, return_index=True)[1])
    counts = {
        "sessions": int(sessions),
        "result_lists": int(everything),
        "lists_with_triplets": int(useful),
        "possible_triplets": int(possible),
        "repeated_draws": len(rows) - len(first),
    }
    return Triplets(*rows[first].T.copy(), skipped=int(everything - useful)), counts


def _draws(lists: Sequence[Path], possible: int, config: HeldOutConfig) -> pa.Table:
    """Places in their lists of distinct triplets out of all that are possible, by rising list.

    Args:
        lists: Parquet parts of `clicked` and `passed`, in order of the lists.
        possible: Sum of clicked * (clicked - 1) * passed.
        config: Number of draws and seed.
    """
    picked = np.arange(min(possible, config.count))
    if possible > config.count:
        rng = np.random.default_rng(config.seed)
        picked = np.sort(rng.choice(possible, config.count, replace=False, shuffle=False))
    number, start, found = 0, 0, []
    for file in lists:
        for batch in pq.ParquetFile(file).iter_batches(columns=["clicked", "passed"]):
            clicked, passed = (batch.column(c).to_numpy() for c in ("clicked", "passed"))
            ends = start + np.cumsum(clicked * (clicked - 1) * passed)
            here = picked[slice(*np.searchsorted(picked, [start, ends[-1]]))]
            at = np.searchsorted(ends, here, side="right")
            clicked, passed = clicked[at], passed[at]
            rest = ends[at] - 1 - here
            pair, negative = rest // passed, rest % passed
            anchor, positive = pair // (clicked - 1), pair % (clicked - 1)
            positive += positive >= anchor  # any clicked image but the anchor
            found.append(np.stack([number + at, anchor, positive, negative]))
            number, start = number + len(ends), int(ends[-1])
    columns = np.concatenate(found, axis=1)
    names = ("list", "anchor", "positive", "negative")
    places = dict(zip(names, columns, strict=True))
    return pa.table({"number": np.arange(columns.shape[1]), **places})
