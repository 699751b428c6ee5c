"""Command `demo`."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace


def demo_parser() -> ArgumentParser:
    """Arguments of `demo`."""
    parser = ArgumentParser(description="Everything on a packaged set of real images.")
    parser.add_argument("--out", type=Path, default=Path("graphrise-demo"), help="folder to fill")
    parser.add_argument("--data", choices=("emoji", "digits"), default="emoji", help="which images")
    parser.add_argument("--fast", action="store_true", help="a subset, two minutes")
    parser.add_argument("--seeds", type=int, default=2, help="seeds per model, at least 1")
    parser.add_argument("--jobs", type=int, help="trainings side by side (default: CPU cores)")
    return parser


def run_demo(args: Namespace) -> None:
    """Do what `demo` does."""
    from graphrise.demo import demo

    report = demo(args.out, data=args.data, fast=args.fast, seeds=args.seeds, jobs=args.jobs)
    print(f"\nreport: {report}")
