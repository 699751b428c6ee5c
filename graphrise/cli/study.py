"""Command `study`."""

from __future__ import annotations

import shlex
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace


def study_parser() -> ArgumentParser:
    """Arguments of `study`."""
    from graphrise.study.spec import builtin_studies

    parser = ArgumentParser(
        description="Many runs by many seeds into one table; the same command goes on with it."
    )
    known = ", ".join(builtin_studies())
    parser.add_argument("study", type=Path, help=f"YAML file, or of {known}")
    parser.add_argument("--out", type=Path, help="folder to fill (default: graphrise-study-NAME)")
    parser.add_argument("--jobs", type=int, help="runs side by side (default: CPU cores)")
    parser.add_argument("--retries", type=int, default=1, help="more tries for a run that fails")
    parser.add_argument("--only", nargs="+", type=str, default=[], help="names of runs to train")
    parser.add_argument(
        "--report-only", action="store_true", help="write tables, plots and page, no training"
    )
    parser.add_argument("--dry-run", action="store_true", help="list the runs, and do nothing")
    return parser


def run_study(args: Namespace) -> None:
    """Do what `study` does."""
    from graphrise.study.drive import chosen_of, study
    from graphrise.study.listing import listing
    from graphrise.study.plan import plan
    from graphrise.study.spec import read_spec

    spec = read_spec(args.study)
    if args.dry_run:
        print(listing(chosen_of(plan(spec), args.only)))
        return
    out = args.out or Path(f"graphrise-study-{spec.name}")
    study(
        spec,
        out,
        jobs=args.jobs,
        retries=args.retries,
        only=args.only,
        report_only=args.report_only,
        command=shlex.join(["graphrise", "study", str(args.study), "--out", str(out)]),
    )
    print((out / "table.md").read_text(encoding="utf-8"))
