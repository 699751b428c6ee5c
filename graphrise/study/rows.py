"""Results as tidy Parquet: scores, costs and curves, one observation a row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from graphrise.data.files import whole_file
from graphrise.study.plan import PlannedRun, shown
from graphrise.study.setup import setup_seconds
from graphrise.study.storage import Try

Row = dict[str, Any]


def write_rows(
    out: Path, runs: Sequence[PlannedRun], tries: Mapping[tuple[str, int], Try]
) -> list[Path]:
    """Write what is finished, each file whole or not at all.

    `runs.parquet`: `run`, `seed`, one column an axis, `query_set`, `metric`, `value`.
    `cost.parquet`: `run`, `seed`, `state`, `tries`, `error`, `passes`, `seconds`, `setup_seconds`
    (`setup.setup_seconds`), `peak_mib`, `versions` (JSON), `key`; a row for failed and waiting runs
    too.
    `curves.parquet`: `run`, `seed`, `query_set`, `passes`, `seconds`, and what was measured.

    Args:
        out: Study folder.
        runs: The plan.
        tries: The last try of each run.

    Returns:
        The files.
    """
    axes = dict.fromkeys(name for run in runs for name in run.axes)
    columns = {name: axis_column([run.axes.get(name) for run in runs]) for name in axes}
    scores: list[Row] = []
    costs: list[Row] = []
    curves: list[Row] = []
    for place, run in enumerate(runs):
        last = tries[run.name, run.seed]
        named = {"run": run.name, "seed": run.seed}
        costs.append({**named, **_cost(run, last, out)})
        if last.state != "finished":
            continue
        values = {name: column[place] for name, column in columns.items()}
        for where, metrics in last.result["metrics"].items():
            for metric, value in metrics.items():
                row = {"query_set": where, "metric": metric, "value": float(value)}
                scores.append({**named, **values, **row})
        curves += [
            {**named, "query_set": run.validation, **point} for point in last.result["curve"]
        ]
    files = {"runs": scores, "cost": costs, "curves": curves}
    return [_write(out / f"{name}.parquet", rows) for name, rows in files.items()]


def axis_column(values: Sequence[Any]) -> list[Any]:
    """An axis as one type: whole numbers, numbers, true and false, or text."""
    given = [value for value in values if value is not None]
    for kinds, as_type in (((bool,), bool), ((int,), int), ((int, float), float)):
        if given and all(type(value) in kinds for value in given):
            return [None if value is None else as_type(value) for value in values]
    return [None if value is None else shown(value) for value in values]


def _cost(run: PlannedRun, last: Try, out: Path) -> Row:
    done = last.state == "finished"
    versions = last.result.get("versions")
    return {
        "state": last.state,
        "tries": last.tries,
        "error": last.error or None,
        "passes": last.result.get("passes"),
        "seconds": last.result.get("seconds"),
        "setup_seconds": setup_seconds(run, last, out) if done else None,
        "peak_mib": last.result.get("peak_mib"),
        "versions": None if versions is None else json.dumps(versions, sort_keys=True),
        "key": last.key,
    }


def _write(path: Path, rows: Sequence[Row]) -> Path:
    names = dict.fromkeys(name for row in rows for name in row)  # not every row has every one
    table = pa.table({name: [row.get(name) for row in rows] for name in names})
    with whole_file(path) as temporary:
        pq.write_table(table, temporary)
    return path
