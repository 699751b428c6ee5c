"""Case `graph`: a click log to labels and graph, by size and by engine."""

from __future__ import annotations

import filecmp
import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.clicklog import write_click_log
from benchmarks.rows import Row
from graphrise.config import EngineConfig, GraphConfig, from_dict, to_dict

PAIR_STAGE = "co-click pairs"
FLOOR = "bare DuckDB self-join and count"


def made_log(out: Path, impressions: int) -> Path:
    """The seeded log of a size under `out`, made if it is not there."""
    folder = out / f"log-{impressions}"
    if not (folder / "images.parquet").is_file():
        write_click_log(folder, impressions)
    return folder


def build_rows(
    out: Path, sizes: Sequence[int], repetitions: int, memory_gb: float, threads: int
) -> list[Row]:
    """DuckDB at every size, interleaved: time, peak memory, pairs a second and core.

    Args:
        out: Working folder.
        sizes: Impressions.
        repetitions: Builds of every size.
        memory_gb: Limit given to the build.
        threads: Cores.
    """
    config = GraphConfig(engine=EngineConfig(memory_gb=memory_gb, threads=threads))
    runs: dict[int, list[dict[str, Any]]] = {size: [] for size in sizes}
    floors: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(repetitions):
        for size in sizes:
            runs[size].append(measured_build(made_log(out, size), out / f"graph-{size}", config))
            floors[size].append(_floor(made_log(out, size), threads))
    rows = []
    for size, found in runs.items():
        pairs = found[0]["counts"]["coclick_pairs"]
        common: dict[str, Any] = {
            "case": "graph",
            "variant": f"duckdb {size:,} impressions",
            "peak_mib": max(r["peak_mib"] for r in found),
            "size": f"{size} impressions, {pairs} capped pairs, {threads} cores, "
            f"limit {memory_gb:g} GB",
        }
        rows.append(
            Row(
                metric="log to graph folder",
                values=[r["seconds"] for r in found],
                unit="s",
                baseline=FLOOR,
                baseline_values=floors[size],
                higher_is_better=False,
                **common,
            )
        )
        rows.append(
            Row(
                metric="pairs to pruned edges, weighted, both directions",
                values=[pairs / r["stages"][PAIR_STAGE] / threads / 1e6 for r in found],
                unit="M pairs/s/core",
                baseline=FLOOR,
                baseline_values=[pairs / s / threads / 1e6 for s in floors[size]],
                **common,
            )
        )
    return rows


def spark_rows(out: Path, sizes: Sequence[int], threads: int) -> list[Row]:
    """Spark in local mode against DuckDB: time, and files of the graphs that differ."""
    rows = []
    for size in sizes:
        log = made_log(out, size)
        found, folders = {}, {}
        for name in ("duckdb", "spark"):
            folders[name] = out / f"graph-{name}-{size}"
            engine = from_dict(EngineConfig, {"name": name, "memory_gb": 8.0, "threads": threads})
            found[name] = measured_build(log, folders[name], GraphConfig(engine=engine))
        common: dict[str, Any] = {
            "case": "graph",
            "variant": f"spark local {size:,} impressions",
            "baseline": "duckdb",
            "higher_is_better": False,
            "peak_mib": found["spark"]["peak_mib"],
            "size": f"{size} impressions, {threads} cores",
        }
        seconds = {name: [r["seconds"]] for name, r in found.items()}
        rows.append(
            Row(
                metric="log to graph folder",
                values=seconds["spark"],
                unit="s",
                baseline_values=seconds["duckdb"],
                **common,
            )
        )
        differing = differing_files(folders["duckdb"], folders["spark"])
        rows.append(
            Row(
                metric="files of the graph that differ",
                values=[len(differing)],
                unit="files",
                baseline_values=[0],
                **common,
            )
        )
    return rows


def differing_files(one: Path, other: Path) -> list[str]:
    """Names of the arrays and name files that are not equal byte for byte."""
    names = {p.name for folder in (one, other) for p in folder.iterdir()} - {"graph.json"}
    _, differ, missing = filecmp.cmpfiles(one, other, sorted(names), shallow=False)
    return differ + missing


def measured_build(dataset: Path, out: Path, config: GraphConfig) -> dict[str, Any]:
    """Build in a process of its own: seconds, seconds by stage, counts, peak memory in MiB."""
    arguments = json.dumps([str(dataset), str(out), to_dict(config)])
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.build_graph", arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _floor(dataset: Path, threads: int) -> float:
    """Seconds of the capped self-join alone, one block, counting pairs; nothing is kept."""
    import duckdb

    with duckdb.connect(config={"threads": threads}) as con:
        con.execute("set enable_progress_bar = false")
        con.execute(f"""
            create table capped as select query, node from (
              select query, image_id as node, row_number() over
                (partition by query order by count(*) desc, image_id) as place
              from '{dataset}/impressions.parquet/*.parquet' where clicked group by query, image_id
            ) where place <= 200
        """)
        con.execute("""
            create table numbered as
            select dense_rank() over (order by query) as query,
              dense_rank() over (order by node) as node from capped
        """)
        start = time.perf_counter()
        con.execute("""
            create table pairs as select a.node as source, b.node as target, count(*) as n
            from numbered a join numbered b on a.query = b.query and a.node < b.node group by all
        """)
        return time.perf_counter() - start


def _child(dataset: str, out: str, settings: dict[str, Any]) -> dict[str, Any]:
    from graphrise.graph.build import build_graph

    begun: list[tuple[str, float]] = []

    def display(stage: str, fraction: float | None) -> None:
        if not begun or begun[-1][0] != stage:
            begun.append((stage, time.perf_counter()))

    config = from_dict(GraphConfig, settings)
    start = time.perf_counter()
    graph = build_graph(Path(dataset), Path(out), config, overwrite=True, display=display)
    end = time.perf_counter()
    ends = [at for _, at in begun[1:]] + [end]
    stages = {name: stop - at for (name, at), stop in zip(begun, ends, strict=True)}
    # Not this process's ru_maxrss: it starts at the parent's. Of children it is Spark's JVM.
    own = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert own
    peak = max(int(own[1]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    return {
        "seconds": end - start,
        "stages": stages,
        "peak_mib": peak / 1024,
        "counts": graph.info["counts"],
    }


if __name__ == "__main__":
    print(json.dumps(_child(*json.loads(sys.argv[1]))))
