"""The made click log is the same whatever its parts, and shaped like a log."""

import pyarrow.parquet as pq

from benchmarks import clicklog
from graphrise.config import GraphConfig
from graphrise.graph.build import build_graph


def rows_of(folder):
    parts = sorted((folder / "impressions.parquet").iterdir())
    return [row for part in parts for row in pq.read_table(part).to_pylist()]


def test_seeded_whatever_the_parts(tmp_path, monkeypatch):
    one = rows_of(clicklog.write_click_log(tmp_path / "one", 4000))
    other = rows_of(clicklog.write_click_log(tmp_path / "other", 4000, seed=1))
    monkeypatch.setattr(clicklog, "ROWS_PER_PART", 1000)
    parts = clicklog.write_click_log(tmp_path / "parts", 4000)
    assert len(list((parts / "impressions.parquet").iterdir())) == 4
    assert rows_of(parts) == one
    assert other != one
    assert len(one) == 4000


def test_lists_hold_an_image_once_and_queries_fall_off(tmp_path):
    folder = clicklog.write_click_log(tmp_path / "d", 40_000)
    rows = rows_of(folder)
    shown = {}
    for row in rows:
        shown.setdefault(row["session"], []).append(row["image_id"])
    assert all(len(set(images)) == clicklog.SHOWN for images in shown.values())
    sessions = {}
    for row in rows[:: clicklog.SHOWN]:
        sessions[row["query"]] = sessions.get(row["query"], 0) + 1
    # P(rank 0) = ln 2 / ln(queries + 1), P(rank 9) = ln(11 / 10) / ln(queries + 1).
    assert 4 < sessions["query 0"] / sessions["query 9"] < 12
    assert 0.05 < sum(row["clicked"] for row in rows) / len(rows) < 0.3
    graph = build_graph(folder, folder / "graph", GraphConfig())
    assert graph.num_edges > 0
