"""`python -m benchmarks CASE [--seeds N] [--out FOLDER] [--json FILE]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import train
from benchmarks.rows import show, write_jsonl
from graphrise.errors import GraphriseError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one case."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("case", choices=("train",))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pixels", type=int, default=48, help="image side")
    parser.add_argument("--passes", type=int, default=110_000, help="encoder passes per run")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--only", nargs="+", default=(), help="names of models, not all")
    parser.add_argument("--out", type=Path, default=Path("graphrise-demo"), help="working folder")
    parser.add_argument("--json", type=Path, help="file to write, one JSON object a line")
    args = parser.parse_args(argv)
    try:
        rows = train.run(args.out, args.seeds, args.pixels, args.passes, args.device, args.only)
    except GraphriseError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    show(rows)
    if args.json:
        write_jsonl(rows, args.json)
        print(f"{args.json}: {len(rows)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
