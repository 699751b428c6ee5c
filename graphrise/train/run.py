"""One training run: from config to run folder."""

from __future__ import annotations

import signal
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from lightning.pytorch.utilities import rank_zero_only

from graphrise.config import RunConfig
from graphrise.data.files import sole_writer
from graphrise.errors import GraphriseError, Stopped
from graphrise.graph.store import Graph
from graphrise.nn.bank import EmbeddingBank
from graphrise.nn.encoder import save_encoder
from graphrise.nn.heads import FullSoftmax, save_table
from graphrise.nn.heads.collectives import world
from graphrise.ops.counter_random import counter_bits
from graphrise.train.allocator import keep_memory
from graphrise.train.bad_images import list_bad_images
from graphrise.train.best import save_best
from graphrise.train.checkpoints import STATE, Checkpoints, check, latest
from graphrise.train.data import TrainingData
from graphrise.train.finite import FiniteLoss
from graphrise.train.folder import (
    RunResult,
    finished,
    peak_mib,
    prepare,
    read_run,
    versions,
    write_json,
)
from graphrise.train.loggers import check_loggers
from graphrise.train.module import GraphRise
from graphrise.train.progress import Budget, Display, Keep, Probe
from graphrise.train.quiet import quiet_lightning
from graphrise.train.spreading import SpreadRefresh
from graphrise.train.trained_on import check_trained_on, note_graph
from graphrise.train.trainer import precision_of, trainer_of
from graphrise.train.watch import Watch

_STREAM = 12  # apart from what else follows from a seed


def train(
    dataset: Path,
    graph: Graph,
    run: Path,
    config: RunConfig,
    *,
    display: Display,
    probe: Probe | None = None,
    overwrite: bool = False,
    resume: bool = False,
    graph_folder: Path | None = None,
) -> RunResult:
    """Train and fill the run folder.

    The folder gets `config.yaml` (every setting), `trained_on.json` (digests of the graph),
    `metrics.csv`, `tensorboard/`, `checkpoint/`, `encoder.safetensors` with `encoder.json`, and,
    last, `run.json` (passes, seconds, curve, versions): a folder with it is a finished run.
    Pictures that could not be read are in `bad_images.csv`; label vectors of a sampled head, by the
    vocabulary, in `labels/` (`nn.heads.open_table`); the encoder that a probe liked best in
    `best/`; soft labels of the last refreshes in `spread/` (`ops.sparse_rows.open_rows`).

    `checkpoint/last.ckpt` is the end of training, the folders `step-N` beside it are what an
    interrupted run goes on from. SIGTERM and Ctrl-C end training after the present step.

    Args:
        dataset: Dataset folder.
        graph: The graph built from it.
        run: Folder to fill.
        config: The run.
        display: Gets progress; `progress.bars` makes one for a terminal.
        probe: Called with the encoder ten times over the budget; its numbers join the curve.
        overwrite: Remove an earlier run of that name first.
        resume: Go on with the folder's run, given its settings (`folder.read_settings`): bit for
            bit as if it had not been interrupted, on CPUs. Of a finished one give the result.
        graph_folder: Where the graph was opened, kept for resuming; None: `dataset`/graph.

    Raises:
        DataError: `run` exists, another process trains it, data and graph do not fit, or the graph
            is not the one that the run to go on with was trained on.
        Stopped: A signal ended training; a checkpoint is written.
        KeyboardInterrupt: Ctrl-C did; a checkpoint is written, after the first at least.
    """
    if resume and finished(run):
        return read_run(run)[2]
    begun = resume and latest(run) is not None
    if begun:
        check_trained_on(run, graph, config.labels.source)
    data, module = _built(dataset, graph, config)
    config = data.config
    first = rank_zero_only.rank == 0
    _draw_apart(config.train.seed)
    # Only now: a run that cannot be built leaves no folder and removes none.
    if not resume and first:
        prepare(run, config, dataset, graph_folder, overwrite=overwrite)
    with sole_writer(run) if first else nullcontext():
        if first and not begun:
            note_graph(run, graph, config.labels.source)
        module.bank_of = partial(bank_of, config, graph.num_nodes, run)
        budget = Budget(display, probe if first else None, _best(run, config))
        return _trained(run, data, module, budget, latest(run) if resume else None)


def _trained(
    run: Path, data: TrainingData, module: GraphRise, budget: Budget, checkpoint: Path | None
) -> RunResult:
    """Train to the end, and finish the run folder."""
    watch = Watch(budget)
    _fit(run, module, data, watch, budget, checkpoint)
    data.notes += watch.notes
    result = RunResult(module.passes, budget.seconds, peak_mib(), budget.curve, data.notes)
    if rank_zero_only.rank == 0:
        _finish(run, module, result, {**watch.totals(), "spread_seconds": data.spread_seconds})
    return result


def _draw_apart(seed: int) -> None:
    """Let dropout of other ranks than the first differ; weights are made by now, equal on all."""
    if rank_zero_only.rank:
        torch.manual_seed(int(counter_bits(seed, _STREAM, rank_zero_only.rank) >> 1))


def _finish(run: Path, module: GraphRise, result: RunResult, more: dict[str, float]) -> None:
    """Write the encoder, and `run.json`, which says that the run is finished."""
    config = module.config
    save_encoder(module.exported, config.encoder, config.images, run)
    write_json(run / "run.json", {**result.__dict__, **more, "versions": versions()})


def _built(dataset: Path, graph: Graph, config: RunConfig) -> tuple[TrainingData, GraphRise]:
    """Data and module; nothing is written."""
    precision_of(config)  # refuses what the device cannot do
    notes = check_loggers(config.watch)
    data = TrainingData(dataset, graph, config)
    data.notes += notes
    if config.train.threads is not None:
        torch.set_num_threads(config.train.threads)
    torch.manual_seed(config.train.seed)
    module = GraphRise(
        data.config, data.num_labels, data.num_labelled, labels=data.labels, kinds=graph.kinds
    )
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return data, module


def bank_of(config: RunConfig, num_nodes: int, run: Path) -> EmbeddingBank | None:
    """The table of past embeddings, if the edge term takes neighbours from one.

    Every rank has all of it.

    Args:
        config: The run.
        num_nodes: N of the graph.
        run: Folder of its file, where it has one.
    """
    rank = world()[0]
    if not config.edges.used or config.edges.embeddings != "bank":
        return None
    settings = config.edges.bank
    return EmbeddingBank(
        num_nodes,
        config.encoder.dim,
        dtype=getattr(torch, settings.dtype),
        file=run / f"bank{f'-{rank}' if rank else ''}.npy" if settings.mapped else None,
    )


def _best(run: Path, config: RunConfig) -> Keep | None:
    return partial(save_best, run, config) if config.checkpoint.best else None


def _fit(
    run: Path,
    module: GraphRise,
    data: TrainingData,
    watch: Watch,
    budget: Budget,
    checkpoint: Path | None,
) -> None:
    """Train to the end of the budget, from the checkpoint on if there is one."""
    if checkpoint is not None:
        check(checkpoint)
    keeper = Checkpoints(run / "checkpoint", module.config.checkpoint, checkpoint)
    with quiet_lightning():
        callbacks = [watch, FiniteLoss(run, data.graph.image_ids), budget, keeper]
        if module.config.labels.spread_refresh is not None:
            callbacks.append(SpreadRefresh(data, run))
        trainer = trainer_of(run, module.config, callbacks, watch.clock)
        if trainer.strategy.root_device.type == "cpu":
            keep_memory()
        try:
            trainer.fit(
                module,
                datamodule=data,
                ckpt_path=None if checkpoint is None else checkpoint / STATE,
                weights_only=True,
            )
        except SystemExit as error:  # what Lightning makes of Ctrl-C
            if trainer.interrupted:
                raise KeyboardInterrupt from error
            raise
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise GraphriseError(
                f"{run}: a loader worker ended ({error}; out of memory?); go on with `graphrise "
                f"train --resume {run}`"
            ) from error
        finally:
            if trainer.is_global_zero:
                data.notes += list_bad_images(run, data.graph, data.reader, module.bad_images)
        if keeper.stop.received is not None and module.fraction() < 1:
            _stopped(run, keeper)
        trainer.save_checkpoint(run / "checkpoint" / "last.ckpt")
        if not isinstance(module.head, FullSoftmax):
            group = dist.group.WORLD if world()[1] > 1 else None
            save_table(module.head.table, run / "labels", overwrite=True, group=group)


def _stopped(run: Path, keeper: Checkpoints) -> None:
    message = f"{run}: stopped; go on with `graphrise train --resume {run}`"
    if keeper.stop.received == signal.SIGINT:
        raise KeyboardInterrupt(message)
    raise Stopped(message)
