"""The rows of a benchmark: what was measured, held against what, on which machine."""

from __future__ import annotations

import csv
import datetime
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from graphrise.data.files import whole_file

TRAINED_WITH = ("torch", "torch-geometric", "timm", "lightning", "numpy")
IMAGES = ("simplejpeg", "pillow", "pyarrow", "torch", "torchvision", "torch-geometric", "numpy")
PACKAGES = {
    "train": TRAINED_WITH,
    "neighbors": TRAINED_WITH,
    "heads": TRAINED_WITH,
    "resume": TRAINED_WITH,
    "kills": (*TRAINED_WITH, "optuna"),
    "rate": TRAINED_WITH,
    "ranks": TRAINED_WITH,
    "nsl": TRAINED_WITH,
    "peers": (*TRAINED_WITH, "pytorch-metric-learning"),
    "decode": ("simplejpeg", "pillow", "torchvision", "PyTurboJPEG", "pyarrow", "lmdb", "numpy"),
    "loader": (*IMAGES, "timm"),
    "graph": ("duckdb", "pyspark", "faiss-cpu", "torch", "torch-geometric", "numpy", "pyarrow"),
    "evaluate": ("faiss-cpu", "torch", "numpy"),
    "head": ("torch", "numpy"),
    "head-learning": ("torch", "numpy"),
    "ops": ("torch", "triton", "numba", "numpy", "torch-geometric", "torch-scatter"),
    "spread": ("numba", "numpy", "scipy", "torch"),
}
"""What the figures of a case depend on."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure (DESIGN section 7).

    Attributes:
        case: Benchmark.
        variant: What was run.
        metric: What was measured.
        values: One a repetition (a seed, or a timed run).
        unit: Of the values.
        baseline: What it is held against, by name.
        baseline_values: The baseline's, from the same call.
        higher_is_better: Sets the direction of the ratio: better is above 1.
        peak_mib: Peak resident memory in MiB.
        size: What was run.
    """

    case: str
    variant: str
    metric: str
    values: Sequence[float]
    unit: str
    baseline: str
    baseline_values: Sequence[float]
    higher_is_better: bool = True
    peak_mib: float = 0.0
    size: str = ""

    @property
    def ratio(self) -> float:
        """Median against the baseline's median; above 1 is better."""
        ours, theirs = float(np.median(self.values)), float(np.median(self.baseline_values))
        above, below = (ours, theirs) if self.higher_is_better else (theirs, ours)
        return above / below if below else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """The row as the benchmark contract names its fields."""
        # Here, since it brings Lightning with it, which processes of a part need not wait for.
        from graphrise.train.folder import versions

        p20, value, p80 = np.percentile(self.values, (20, 50, 80))
        return {
            "case": self.case,
            "variant": self.variant,
            "metric": self.metric,
            "value": float(value),
            "p20": float(p20),
            "p80": float(p80),
            "mean": float(np.mean(self.values)),
            "sd": float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None,
            "repetitions": len(self.values),
            "unit": self.unit,
            "baseline": self.baseline,
            "baseline_value": float(np.median(self.baseline_values)),
            "ratio": self.ratio,
            "peak_mib": round(self.peak_mib, 1),
            "size": self.size,
            "machine": machine(),
            "versions": versions(PACKAGES[self.case]),
            "date": datetime.date.today().isoformat(),
        }


def machine() -> str:
    """Processor and cores, and the GPU where this process has used one."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text().splitlines()
        name = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), name)
    found = f"{name}, {os.cpu_count()} cores"
    if not torch.cuda.is_initialized():
        return found
    gpu = torch.cuda.get_device_properties(torch.cuda.current_device())
    return f"{found}, {gpu.name} of {gpu.total_memory / 2**30:.0f} GiB"


def show(rows: Sequence[Row]) -> None:
    """Print the rows as a table."""
    table = Table(box=None, pad_edge=False)
    names = ("variant", "metric", "median", "p20..p80", "unit", "ratio", "against", "peak MiB")
    for name in names:
        table.add_column(name, justify="left" if name in ("variant", "metric") else "right")
    for row in rows:
        d = row.to_dict()
        table.add_row(
            row.variant,
            row.metric,
            f"{d['value']:,.2f}",
            f"{d['p20']:,.2f}..{d['p80']:,.2f}",
            row.unit,
            f"{row.ratio:.2f}",
            row.baseline,
            f"{row.peak_mib:,.0f}",
        )
    # Piped to a file there is no width to keep to, and `print` would keep to the console's.
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(table)


def write_jsonl(rows: Sequence[Row], path: Path) -> None:
    """One JSON object a line, whole or not at all."""
    with whole_file(path) as temporary:
        text = "".join(json.dumps(dataclass_row.to_dict()) + "\n" for dataclass_row in rows)
        temporary.write_text(text, encoding="utf-8")


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """The same fields as columns, whole or not at all."""
    table = [row.to_dict() for row in rows]
    for line in table:
        line["versions"] = " ".join(f"{k}={v}" for k, v in line["versions"].items())
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(table[0]) if table else [])
        writer.writeheader()
        writer.writerows(table)
