"""The cases by name, and their options.

A case's module is imported when the case is asked for: none needs another's packages.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rows import Row

Run = Callable[[Namespace], Iterable[Sequence[Row]]]
"""Rows part by part, each as soon as it is measured."""


@dataclass(frozen=True)
class Case:
    """A benchmark.

    Attributes:
        help: What it measures.
        add: Imports its module, adds its options to a parser, and gives what runs it.
    """

    help: str
    add: Callable[[ArgumentParser], Run]


def _graph(parser: ArgumentParser) -> Run:
    from benchmarks import graph

    parser.add_argument("--only", nargs="+", choices=graph.PARTS, default=graph.PARTS)
    parser.add_argument("--sizes", nargs="+", type=int, default=[10**6, 10**7, 10**8])
    _repetitions(parser, 3)
    parser.add_argument("--memory", type=float, default=8.0, help="limit of a build, in GB")
    parser.add_argument("--nsl", type=Path, help="Python that has neural-structured-learning")
    _out(parser, "graphrise-bench")
    return lambda args: [
        graph.run(args.out, args.only, args.sizes, args.repetitions, args.memory, args.nsl)
    ]


def _loader(parser: ArgumentParser) -> Run:
    from benchmarks import loader

    parser.add_argument("--only", nargs="+", choices=loader.PARTS, default=loader.PARTS)
    _repetitions(parser, 9)
    _out(parser, "graphrise-bench")
    return lambda args: [loader.run(args.out, args.only, args.repetitions)]


def _decode(parser: ArgumentParser) -> Run:
    from benchmarks import decode

    _repetitions(parser, 9)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one timing")
    return lambda args: [decode.run(args.repetitions, args.seconds)]


def _head(parser: ArgumentParser) -> Run:
    from benchmarks import head, head_files

    parser.add_argument("--only", nargs="+", choices=head.PARTS, default=head.PARTS)
    parser.add_argument("--labels", type=int, default=40_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--negatives", type=int, default=8192)
    parser.add_argument("--steps", type=int, default=200, help="timed steps of a process")
    parser.add_argument("--repetitions", type=int, default=3, help="processes of a timing")
    parser.add_argument("--peer-labels", type=int, help="instead of as many as 20 GiB hold")
    _out(parser, "graphrise-bench")

    def run(args: Namespace) -> Iterable[Sequence[Row]]:
        size = head.Size(
            labels=args.labels,
            dim=args.dim,
            batch=args.batch,
            negatives=args.negatives,
            steps=args.steps,
        )
        yield head.run(size, args.only, args.repetitions, args.peer_labels)
        if "files" in args.only:
            yield head_files.run(args.out, size, args.repetitions)

    return run


def _head_learning(parser: ArgumentParser) -> Run:
    from benchmarks import head_learning

    ways = tuple(head_learning.WAYS)
    parser.add_argument("--only", nargs="+", choices=ways, default=head_learning.CLAIMED)
    parser.add_argument("--labels", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=120, help="of the full softmax")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--held-out", type=int, default=2048, help="images judged on")
    parser.add_argument("--noise", type=float, default=0.5, help="of the task")
    parser.add_argument("--seeds", type=int, default=3)

    def run(args: Namespace) -> Iterable[Sequence[Row]]:
        size = head_learning.Size(
            labels=args.labels,
            steps=args.steps,
            batch=args.batch,
            dim=args.dim,
            held_out=args.held_out,
            noise=args.noise,
        )
        return head_learning.run(size, args.seeds, args.only)

    return run


def _train(parser: ArgumentParser) -> Run:
    from benchmarks import train

    parser.add_argument("--pixels", type=int, default=48, help="image side")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    _models(parser)
    return lambda args: [
        train.run(args.out, args.seeds, args.pixels, args.passes, args.device, args.only)
    ]


def _neighbors(parser: ArgumentParser) -> Run:
    from benchmarks import neighbors

    _models(parser)
    return lambda args: [neighbors.run(args.out, args.seeds, args.passes, args.only)]


def _heads(parser: ArgumentParser) -> Run:
    from benchmarks import heads

    _models(parser)
    return lambda args: [heads.run(args.out, args.seeds, args.passes, args.only)]


def _peers(parser: ArgumentParser) -> Run:
    from benchmarks import peers

    parser.add_argument(
        "--sweep", action="store_true", help="peers' settings, a third of the passes"
    )
    _models(parser)

    def run(args: Namespace) -> Iterable[Sequence[Row]]:
        if args.sweep:
            return [peers.sweep(args.out, args.passes, args.only)]
        return [peers.run(args.out, args.seeds, args.passes, args.only)]

    return run


def _resume(parser: ArgumentParser) -> Run:
    from benchmarks import resume

    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--passes", type=int, default=6_000, help="encoder passes of a run")
    _out(parser, "graphrise-bench")
    return lambda args: [resume.run(args.out, args.kills, args.passes)]


def _rate(parser: ArgumentParser) -> Run:
    from benchmarks import rate

    parser.add_argument("--only", nargs="+", choices=rate.ENCODERS, default=tuple(rate.ENCODERS))
    parser.add_argument(
        "--passes", type=int, default=40_000, help="a run, of the large one a tenth"
    )
    _repetitions(parser, 3)
    _out(parser, "graphrise-demo")
    return lambda args: [rate.run(args.out, args.only, args.passes, args.repetitions)]


def _ranks(parser: ArgumentParser) -> Run:
    from benchmarks import ranks

    parser.add_argument("--ranks", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--passes", type=int, default=20_000, help="of a run")
    _repetitions(parser, 3)
    _out(parser, "graphrise-demo")
    return lambda args: [ranks.run(args.out, args.ranks, args.passes, args.repetitions)]


def _nsl(parser: ArgumentParser) -> Run:
    from benchmarks import nsl_train

    parser.add_argument("--nsl", type=Path, help="Python that has neural-structured-learning")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=880, help="of a run, about")
    parser.add_argument("--distance", default="kl_divergence", help="NSL's, with --multiplier")
    parser.add_argument("--multiplier", type=float, help="NSL's; without it one is chosen")
    _out(parser, "graphrise-demo")

    def run(args: Namespace) -> Iterable[Sequence[Row]]:
        chosen = (args.distance, args.multiplier) if args.multiplier else None
        return [nsl_train.run(args.out, args.nsl, args.seeds, args.steps, chosen)]

    return run


def _kills(parser: ArgumentParser) -> Run:
    from benchmarks import kills

    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--passes", type=int, default=10_000, help="encoder passes of a run")
    _out(parser, "graphrise-bench")
    return lambda args: [kills.run(args.out, args.kills, args.passes, args.seed)]


def _spread(parser: ArgumentParser) -> Run:
    from benchmarks import spread

    parser.add_argument("--only", nargs="+", choices=spread.PARTS, default=spread.PARTS)
    parser.add_argument("--nodes", type=int, default=20_000_000)
    parser.add_argument("--edges", type=int, default=200_000_000)
    parser.add_argument("--peer-nodes", type=int, default=1_000_000)
    parser.add_argument("--peer-edges", type=int, default=10_000_000)
    _repetitions(parser, 3)
    _out(parser, "graphrise-bench")

    def run(args: Namespace) -> Iterable[Sequence[Row]]:
        size = spread.Size(
            nodes=args.nodes,
            edges=args.edges,
            peer_nodes=args.peer_nodes,
            peer_edges=args.peer_edges,
        )
        return [spread.run(args.out, size, args.only, args.repetitions)]

    return run


def _ops(parser: ArgumentParser) -> Run:
    from benchmarks import ops

    parser.add_argument("--only", nargs="+", choices=ops.PARTS, default=tuple(ops.PARTS))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    _repetitions(parser, 9)
    return lambda args: ops.run(args.only, args.device, args.repetitions)


def _evaluate(parser: ArgumentParser) -> Run:
    from benchmarks import evaluate

    parser.add_argument("--only", nargs="+", choices=evaluate.PARTS, default=evaluate.PARTS)
    parser.add_argument("--gallery", type=int, default=1_000_000)
    parser.add_argument("--streamed", type=int, default=10_000_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--k", type=int, default=10)
    _repetitions(parser, 3)
    _out(parser, "graphrise-bench")

    def run(args: Namespace) -> Iterable[Sequence[Row]]:
        size = evaluate.Size(
            gallery=args.gallery,
            streamed=args.streamed,
            queries=args.queries,
            dim=args.dim,
            k=args.k,
        )
        return [evaluate.run(args.out, size, args.only, args.repetitions)]

    return run


def _models(parser: ArgumentParser) -> None:
    """Options of the cases that compare models on emoji."""
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--passes", type=int, default=110_000, help="encoder passes per run")
    parser.add_argument("--only", nargs="+", default=(), help="names of them, not all")
    _out(parser, "graphrise-demo")


def _repetitions(parser: ArgumentParser, default: int) -> None:
    parser.add_argument("--repetitions", type=int, default=default)


def _out(parser: ArgumentParser, default: str) -> None:
    parser.add_argument("--out", type=Path, default=Path(default), help="working folder")


CASES = {
    "graph": Case("building, opening and drawing from a graph", _graph),
    "loader": Case("pictures a second, and what the encoder waits", _loader),
    "decode": Case("decoders on one thread, and containers", _decode),
    "head": Case("the label head's step and memory, by labels", _head),
    "head-learning": Case("what sampled heads learn of a million labels", _head_learning),
    "train": Case("what the graph adds to an encoder", _train),
    "neighbors": Case("ways to bring neighbours in, and what they cost", _neighbors),
    "heads": Case("label heads on emoji: what a sample of labels costs", _heads),
    "peers": Case("losses of others, and ours, on the same pictures", _peers),
    "resume": Case("runs killed at random moments, and resumed", _resume),
    "rate": Case("images a second of whole runs, against a bare loop", _rate),
    "ranks": Case("images a second by the processes that share a run", _ranks),
    "nsl": Case("training against Neural Structured Learning's", _nsl),
    "kills": Case("a study killed at random moments, and gone on with", _kills),
    "spread": Case("labels spread over a large graph, and its memory", _spread),
    "ops": Case("every op against peers and the device's copy", _ops),
    "evaluate": Case("judging an encoder, beside the bare search", _evaluate),
}
