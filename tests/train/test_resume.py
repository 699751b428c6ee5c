"""An interrupted run goes on bit for bit, wherever it was cut."""

import dataclasses
import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from graphrise.config import GraphConfig
from graphrise.errors import DataError, Stopped
from graphrise.graph.build import build_graph
from graphrise.nn.encoder import load_encoder
from graphrise.nn.heads import load_table
from graphrise.train.checkpoints import STATE, latest
from graphrise.train.folder import read_run, read_settings
from graphrise.train.module import GraphRise
from graphrise.train.run import train

DROPOUT = {"drop_rate": 0.3}  # draws from torch's own random numbers
CASES = {
    "pairs": {"edges": {"alpha": 1.0}, "labels": {"spread": True}, "encoder": {"kwargs": DROPOUT}},
    "bank": {"edges": {"alpha": 1.0, "embeddings": "bank"}, "images": {"workers": 1}},
    "sampled head": {
        "head": {"kind": "sampled", "num_negatives": 2, "negatives": "uniform"},
        "encoder": {"kwargs": DROPOUT},
    },
}


class Cut(Exception):
    """What ends a run in the middle of a step."""


@pytest.fixture
def graph(dataset):
    return build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)


@pytest.fixture
def fit(make, dataset, graph, monkeypatch):
    """Train, or go on; `cut=k` ends it in the k-th step of this call."""

    def run(folder, config=None, cut=None, probe=None, **stages):
        step, steps = GraphRise.training_step, 0

        def counted(self, batch, batch_idx):
            nonlocal steps
            steps += 1
            if steps == cut:
                raise Cut
            return step(self, batch, batch_idx)

        resume = config is None and not stages
        config = read_settings(folder)[0] if resume else config or make.small_run(**stages)
        with monkeypatch.context() as patch:
            patch.setattr(GraphRise, "training_step", counted)
            return train(
                dataset, graph, folder, config, display=make.silent, probe=probe, resume=resume
            )

    return run


def with_steps(make, case, **checkpoint):
    """Three batches an epoch, 8 steps or so, a checkpoint after every one."""
    return dataclasses.replace(
        make.small_run(train={"passes": 40, "batch_size": 4}, **CASES[case]),
        checkpoint=dataclasses.replace(make.small_run().checkpoint, **{"steps": 1, **checkpoint}),
    )


def state_of(run):
    """Everything that training made: encoder, head, optimiser, bank, label vectors."""
    found = torch.load(run / "checkpoint" / "last.ckpt", weights_only=True)
    state = {**found["state_dict"]}
    for i, (name, value) in enumerate(sorted(tensors(found["optimizer_states"]))):
        state[f"optimizer {i} {name}"] = value
    if (run / "labels").is_dir():
        table = load_table(run / "labels")
        state |= {"table": table.weight, "sums": table.state}
    return state | load_file(run / "encoder.safetensors")


def tensors(value, name=""):
    if isinstance(value, torch.Tensor):
        return [(name, value)]
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [
        found
        for key, one in items
        if isinstance(one, (dict, list, tuple, torch.Tensor))
        for found in tensors(one, f"{name}.{key}")
    ]


def assert_same(run, other):
    first, second = state_of(run), state_of(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    results = [read_run(folder)[2] for folder in (run, other)]
    assert results[0].passes == results[1].passes
    curves = [[{**e, "seconds": 0.0} for e in r.curve] for r in results]
    assert curves[0] == curves[1]


@pytest.mark.parametrize("case", CASES)
def test_cut_in_any_step(fit, make, tmp_path, case):
    config = with_steps(make, case)
    fit(tmp_path / "whole", config)
    steps = int(latest(tmp_path / "whole").name.removeprefix("step-")) + 1  # pyright: ignore
    assert steps > 4, "the cuts are to reach into a second epoch"
    # An epoch has three batches: within one, and just after one.
    for cut in range(1, steps + 1) if case == "pairs" else (3, 4):
        run = tmp_path / str(cut)
        with pytest.raises(Cut):
            fit(run, config, cut=cut)
        assert (latest(run) is None) == (cut == 1)
        fit(run)
        assert_same(run, tmp_path / "whole")


def test_cut_again_and_again(fit, make, tmp_path):
    config = with_steps(make, "pairs")
    fit(tmp_path / "whole", config)
    with pytest.raises(Cut):
        fit(tmp_path / "r", config, cut=2)
    for _ in range(3):
        with pytest.raises(Cut):
            fit(tmp_path / "r", cut=2)
    fit(tmp_path / "r")
    assert_same(tmp_path / "r", tmp_path / "whole")


def test_a_mapped_bank_is_the_checkpoints(fit, make, tmp_path):
    # The file goes on changing after the checkpoint.
    config = with_steps(make, "bank", steps=2)
    bank = dataclasses.replace(config.edges.bank, mapped=True)
    config = dataclasses.replace(config, edges=dataclasses.replace(config.edges, bank=bank))
    fit(tmp_path / "whole", config)
    with pytest.raises(Cut):
        fit(tmp_path / "r", config, cut=4)
    fit(tmp_path / "r")
    assert_same(tmp_path / "r", tmp_path / "whole")
    banks = [(tmp_path / name / "bank.npy").read_bytes() for name in ("whole", "r")]
    assert banks[0] == banks[1]


def test_as_many_are_kept_as_asked_for(fit, make, tmp_path):
    fit(tmp_path / "r", with_steps(make, "pairs", keep=2))
    kept = sorted(f.name for f in (tmp_path / "r" / "checkpoint").iterdir())
    assert len(kept) == 3
    assert kept[0] == "last.ckpt"
    assert kept[2] == latest(tmp_path / "r").name  # pyright: ignore


def test_what_a_killed_process_left_is_cleared_away(fit, make, tmp_path):
    config = with_steps(make, "pairs")
    with pytest.raises(Cut):
        fit(tmp_path / "r", config, cut=3)
    folder = tmp_path / "r" / "checkpoint"
    (folder / ".step-000000007.0123abcd.tmp").mkdir()
    (folder / "step-000000009").mkdir()  # not a whole one
    assert latest(tmp_path / "r").name == "step-000000002"  # pyright: ignore
    fit(tmp_path / "r")
    assert not list(folder.glob(".step-*"))


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_a_checkpoint(fit, make, tmp_path, sent, capsys):
    config = with_steps(make, "pairs", steps=None, minutes=60.0)
    fit(tmp_path / "whole", config)

    def signalled(encoder):
        os.kill(os.getpid(), sent)
        return {"recall@1": 0.0}

    config = dataclasses.replace(config, checkpoint=config.checkpoint)
    with pytest.raises(Stopped if sent == signal.SIGTERM else KeyboardInterrupt, match="--resume"):
        fit(tmp_path / "r", config, probe=signalled)
    assert ("Ctrl-C again" in capsys.readouterr().err) == (sent == signal.SIGINT)
    assert latest(tmp_path / "r") is not None
    with pytest.raises(DataError, match=r"did not finish.*train --resume"):
        read_run(tmp_path / "r")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    fit(tmp_path / "r")
    first, second = (load_file(tmp_path / n / "encoder.safetensors") for n in ("whole", "r"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_finished_run_is_left_alone(fit, make, tmp_path):
    result = fit(tmp_path / "r", with_steps(make, "pairs"))
    before = (tmp_path / "r" / "run.json").stat().st_mtime_ns
    assert fit(tmp_path / "r") == result
    assert (tmp_path / "r" / "run.json").stat().st_mtime_ns == before


HOLD = """
import sys, time
from pathlib import Path
from graphrise.data.files import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_run_that_another_process_trains_is_left_alone(fit, make, tmp_path, graph, dataset):
    config = with_steps(make, "pairs")
    with pytest.raises(Cut):
        fit(tmp_path / "r", config, cut=3)
    command = [sys.executable, "-c", HOLD, str(tmp_path / "r")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(DataError, match="another process is writing"):
            fit(tmp_path / "r")
        with pytest.raises(DataError, match="another process is writing"):
            train(dataset, graph, tmp_path / "r", config, display=make.silent, overwrite=True)
        other.kill()
    fit(tmp_path / "r")


def test_the_best_encoder_is_kept(fit, make, tmp_path):
    seen = []

    def probe(encoder):
        state = {k: v.clone() for k, v in encoder.state_dict().items()}
        seen.append(state)
        return {"recall@1": [0.1, 0.5, 0.5, 0.3][min(len(seen), 4) - 1]}

    fit(tmp_path / "r", with_steps(make, "pairs"), probe=probe)
    assert len(seen) > 4
    found = load_encoder(tmp_path / "r" / "best")[0].state_dict()
    assert all(torch.equal(found[name], seen[1][name]) for name in found)
    assert json.loads((tmp_path / "r" / "best" / "best.json").read_text())["recall@1"] == 0.5


def test_settings_know_where_the_graph_is(fit, make, dataset, graph, tmp_path):
    config = with_steps(make, "pairs")
    train(
        dataset, graph, tmp_path / "r", config, display=make.silent, graph_folder=tmp_path / "other"
    )
    assert read_settings(tmp_path / "r") == (config, dataset.resolve(), tmp_path / "other")
    fit(tmp_path / "s", config)
    assert read_settings(tmp_path / "s")[2] == dataset.resolve() / "graph"


def test_damaged_checkpoints_say_so(fit, make, tmp_path):
    with pytest.raises(Cut):
        fit(tmp_path / "r", with_steps(make, "pairs"), cut=3)
    (latest(tmp_path / "r") / STATE).write_bytes(b"no checkpoint")  # pyright: ignore
    with pytest.raises(DataError, match=r"step-000000002.*damaged.*remove it"):
        fit(tmp_path / "r")
