"""`python -m benchmarks CASE [options] [--json FILE] [--csv FILE]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import (
    decode,
    evaluate,
    graph,
    head,
    heads,
    kills,
    loader,
    neighbors,
    nsl_train,
    ops,
    peers,
    ranks,
    rate,
    resume,
    spread,
    train,
)
from benchmarks.rows import Row, show, write_csv, write_jsonl
from graphrise.errors import GraphriseError


def _train(args: argparse.Namespace) -> list[Row]:
    return train.run(args.out, args.seeds, args.pixels, args.passes, args.device, args.only)


def _graph(args: argparse.Namespace) -> list[Row]:
    return graph.run(args.out, args.only, args.sizes, args.repetitions, args.memory, args.nsl)


def _loader(args: argparse.Namespace) -> list[Row]:
    return loader.run(args.out, args.only, args.repetitions)


def _neighbors(args: argparse.Namespace) -> list[Row]:
    return neighbors.run(args.out, args.seeds, args.passes, args.only)


def _decode(args: argparse.Namespace) -> list[Row]:
    return decode.run(args.repetitions, args.seconds)


def _head(args: argparse.Namespace) -> list[Row]:
    size = head.Size(
        labels=args.labels,
        dim=args.dim,
        batch=args.batch,
        negatives=args.negatives,
        steps=args.steps,
    )
    return head.run(size, args.only, args.repetitions, args.peer_labels)


def _heads(args: argparse.Namespace) -> list[Row]:
    return heads.run(args.out, args.seeds, args.passes, args.only)


def _resume(args: argparse.Namespace) -> list[Row]:
    return resume.run(args.out, args.kills, args.passes)


def _kills(args: argparse.Namespace) -> list[Row]:
    return kills.run(args.out, args.kills, args.passes, args.seed)


def _ranks(args: argparse.Namespace) -> list[Row]:
    return ranks.run(args.out, args.ranks, args.passes, args.repetitions)


def _rate(args: argparse.Namespace) -> list[Row]:
    return rate.run(args.out, args.only, args.passes, args.repetitions)


def _nsl(args: argparse.Namespace) -> list[Row]:
    chosen = (args.distance, args.multiplier) if args.multiplier else None
    return nsl_train.run(args.out, args.nsl, args.seeds, args.steps, chosen)


def _peers(args: argparse.Namespace) -> list[Row]:
    if args.sweep:
        return peers.sweep(args.out, args.passes, args.only)
    return peers.run(args.out, args.seeds, args.passes, args.only)


def _spread(args: argparse.Namespace) -> list[Row]:
    size = spread.Size(
        nodes=args.nodes,
        edges=args.edges,
        peer_nodes=args.peer_nodes,
        peer_edges=args.peer_edges,
    )
    return spread.run(args.out, size, args.only, args.repetitions)


def _evaluate(args: argparse.Namespace) -> list[Row]:
    size = evaluate.Size(
        gallery=args.gallery,
        streamed=args.streamed,
        queries=args.queries,
        dim=args.dim,
        k=args.k,
    )
    return evaluate.run(args.out, size, args.only, args.repetitions)


def _ops(args: argparse.Namespace) -> list[Row]:
    return ops.run(args.only, args.device, args.repetitions)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    cases = parser.add_subparsers(required=True, metavar="CASE")
    one = cases.add_parser("graph", help="building, opening and drawing from a graph")
    one.set_defaults(run=_graph)
    one.add_argument("--only", nargs="+", choices=graph.PARTS, default=graph.PARTS)
    one.add_argument("--sizes", nargs="+", type=int, default=[10**6, 10**7, 10**8])
    one.add_argument("--repetitions", type=int, default=3)
    one.add_argument("--memory", type=float, default=8.0, help="limit of a build, in GB")
    one.add_argument("--nsl", type=Path, help="Python that has neural-structured-learning")
    one.add_argument("--out", type=Path, default=Path("graphrise-bench"), help="working folder")
    two = cases.add_parser("loader", help="pictures a second, and what the encoder waits")
    two.set_defaults(run=_loader)
    two.add_argument("--only", nargs="+", choices=loader.PARTS, default=loader.PARTS)
    two.add_argument("--repetitions", type=int, default=9)
    two.add_argument("--out", type=Path, default=Path("graphrise-bench"), help="working folder")
    three = cases.add_parser("decode", help="decoders on one thread, and containers")
    three.set_defaults(run=_decode)
    three.add_argument("--repetitions", type=int, default=9)
    three.add_argument("--seconds", type=float, default=1.0, help="of one timing")
    four = cases.add_parser("head", help="the label head's step and memory, by labels")
    four.set_defaults(run=_head)
    four.add_argument("--only", nargs="+", choices=head.PARTS, default=head.PARTS)
    four.add_argument("--labels", type=int, default=40_000_000)
    four.add_argument("--dim", type=int, default=64)
    four.add_argument("--batch", type=int, default=256)
    four.add_argument("--negatives", type=int, default=8192)
    four.add_argument("--steps", type=int, default=200, help="timed steps of a process")
    four.add_argument("--repetitions", type=int, default=3, help="processes of a timing")
    four.add_argument("--peer-labels", type=int, help="instead of as many as 20 GiB hold")
    others = (*_model_parsers(cases), *_run_parsers(cases), *_op_parsers(cases))
    for case in (one, two, three, four, *others):
        case.add_argument("--json", type=Path, help="file to write, one JSON object a line")
        case.add_argument("--csv", type=Path, help="file to write, one row a line")
    return parser


def _model_parsers(
    cases: argparse._SubParsersAction[argparse.ArgumentParser],
) -> list[argparse.ArgumentParser]:
    """Those of the cases that compare models on emoji."""
    one = cases.add_parser("train", help="what the graph adds to an encoder")
    one.set_defaults(run=_train)
    one.add_argument("--pixels", type=int, default=48, help="image side")
    one.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    two = cases.add_parser("neighbors", help="ways to bring neighbours in, and what they cost")
    two.set_defaults(run=_neighbors)
    three = cases.add_parser("heads", help="label heads on emoji: what a sample of labels costs")
    three.set_defaults(run=_heads)
    four = cases.add_parser("peers", help="losses of others, and ours, on the same pictures")
    four.set_defaults(run=_peers)
    four.add_argument("--sweep", action="store_true", help="peers' settings, a third of the passes")
    for case in (one, two, three, four):
        case.add_argument("--seeds", type=int, default=3)
        case.add_argument("--passes", type=int, default=110_000, help="encoder passes per run")
        case.add_argument("--only", nargs="+", default=(), help="names of them, not all")
        case.add_argument("--out", type=Path, default=Path("graphrise-demo"), help="working folder")
    return [one, two, three, four]


def _run_parsers(
    cases: argparse._SubParsersAction[argparse.ArgumentParser],
) -> list[argparse.ArgumentParser]:
    """Those of the cases that look at whole runs."""
    one = cases.add_parser("resume", help="runs killed at random moments, and resumed")
    one.set_defaults(run=_resume)
    one.add_argument("--kills", type=int, default=20)
    one.add_argument("--passes", type=int, default=6_000, help="encoder passes of a run")
    one.add_argument("--out", type=Path, default=Path("graphrise-bench"), help="working folder")
    two = cases.add_parser("rate", help="images a second of whole runs, against a bare loop")
    two.set_defaults(run=_rate)
    two.add_argument("--only", nargs="+", choices=rate.ENCODERS, default=tuple(rate.ENCODERS))
    two.add_argument("--passes", type=int, default=40_000, help="a run, of the large one a tenth")
    two.add_argument("--repetitions", type=int, default=3)
    two.add_argument("--out", type=Path, default=Path("graphrise-demo"), help="working folder")
    three = cases.add_parser("ranks", help="images a second by the processes that share a run")
    three.set_defaults(run=_ranks)
    three.add_argument("--ranks", nargs="+", type=int, default=[1, 2, 4])
    three.add_argument("--passes", type=int, default=20_000, help="of a run")
    three.add_argument("--repetitions", type=int, default=3)
    three.add_argument("--out", type=Path, default=Path("graphrise-demo"), help="working folder")
    four = cases.add_parser("nsl", help="training against Neural Structured Learning's")
    four.set_defaults(run=_nsl)
    four.add_argument("--nsl", type=Path, help="Python that has neural-structured-learning")
    four.add_argument("--seeds", type=int, default=3)
    four.add_argument("--steps", type=int, default=880, help="of a run, about")
    four.add_argument("--distance", default="kl_divergence", help="NSL's, with --multiplier")
    four.add_argument("--multiplier", type=float, help="NSL's; without it one is chosen")
    four.add_argument("--out", type=Path, default=Path("graphrise-demo"), help="working folder")
    five = cases.add_parser("kills", help="a study killed at random moments, and gone on with")
    five.set_defaults(run=_kills)
    five.add_argument("--kills", type=int, default=5)
    five.add_argument("--seed", type=int, default=0, help="of the moments")
    five.add_argument("--passes", type=int, default=10_000, help="encoder passes of a run")
    five.add_argument("--out", type=Path, default=Path("graphrise-bench"), help="working folder")
    return [one, two, three, four, five]


def _op_parsers(
    cases: argparse._SubParsersAction[argparse.ArgumentParser],
) -> list[argparse.ArgumentParser]:
    """Those of the cases that time operations."""
    one = cases.add_parser("spread", help="labels spread over a large graph, and its memory")
    one.set_defaults(run=_spread)
    one.add_argument("--only", nargs="+", choices=spread.PARTS, default=spread.PARTS)
    one.add_argument("--nodes", type=int, default=20_000_000)
    one.add_argument("--edges", type=int, default=200_000_000)
    one.add_argument("--peer-nodes", type=int, default=1_000_000)
    one.add_argument("--peer-edges", type=int, default=10_000_000)
    one.add_argument("--repetitions", type=int, default=3)
    one.add_argument("--out", type=Path, default=Path("graphrise-bench"), help="working folder")
    two = cases.add_parser("ops", help="every op against peers and the device's copy")
    two.set_defaults(run=_ops)
    two.add_argument("--only", nargs="+", choices=ops.PARTS, default=tuple(ops.PARTS))
    two.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    two.add_argument("--repetitions", type=int, default=9)
    three = cases.add_parser("evaluate", help="judging an encoder, beside the bare search")
    three.set_defaults(run=_evaluate)
    three.add_argument("--only", nargs="+", choices=evaluate.PARTS, default=evaluate.PARTS)
    three.add_argument("--gallery", type=int, default=1_000_000)
    three.add_argument("--streamed", type=int, default=10_000_000)
    three.add_argument("--queries", type=int, default=10_000)
    three.add_argument("--dim", type=int, default=64)
    three.add_argument("--k", type=int, default=10)
    three.add_argument("--repetitions", type=int, default=3)
    three.add_argument("--out", type=Path, default=Path("graphrise-bench"), help="working folder")
    return [one, two, three]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one case."""
    args = _parser().parse_args(argv)
    try:
        rows: list[Row] = args.run(args)
    except GraphriseError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    show(rows)
    for path, write in ((args.json, write_jsonl), (args.csv, write_csv)):
        if path:
            write(rows, path)
            print(f"{path}: {len(rows)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
