"""`python -m benchmarks CASE [options] [--json FILE] [--csv FILE]`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cases import CASES
from benchmarks.rows import Row, show, write_csv, write_jsonl
from graphrise.errors import GraphriseError


def _parser(asked: str) -> argparse.ArgumentParser:
    """All cases by name, and the options of the one that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    cases = parser.add_subparsers(required=True, metavar="CASE")
    for name, case in CASES.items():
        one = cases.add_parser(name, help=case.help)
        if name == asked:
            one.set_defaults(run=case.add(one))
            one.add_argument("--json", type=Path, help="file to write, one JSON object a line")
            one.add_argument("--csv", type=Path, help="file to write, one row a line")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one case; its rows are shown and written after every part.

    Returns:
        The exit code: 1 where something failed.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    rows: list[Row] = []
    code = 0
    try:
        args = _parser(argv[0] if argv else "").parse_args(argv)
        # Rows are made with it: what it needs is found missing now, not when they are measured.
        importlib.import_module("graphrise.train.folder")
    except ModuleNotFoundError as error:
        print(f"benchmarks: case {argv[0]} cannot run here: {error}", file=sys.stderr)
        return 1
    files = [(args.json, write_jsonl), (args.csv, write_csv)]
    try:
        for part in args.run(args):
            show(part)
            rows += part
            for path, write in files:
                if path:
                    write(rows, path)
    except GraphriseError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        code = 1
    for path, _ in files:
        if path and rows:
            print(f"{path}: {len(rows)} rows")
    return code


if __name__ == "__main__":
    sys.exit(main())
