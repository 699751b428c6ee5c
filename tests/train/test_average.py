"""The moving average of the encoder's weights: its numbers, and that it is what is kept."""

import torch
from lightning.pytorch.callbacks import Callback

from graphrise.config import GraphConfig
from graphrise.graph.build import build_graph
from graphrise.nn.encoder import load_encoder
from graphrise.train.run import train

EMA = {"ema": 0.6, "lr": 0.01}


def states(encoder):
    return {k: v.clone() for k, v in encoder.state_dict().items()}


class Steps(Callback):
    """The encoder's state after every step."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append(states(pl_module.encoder))


def batches_of(loop, count):
    return [loop.batch(list(range(4 * i, 4 * i + 4))) for i in range(count)]


def test_the_average_by_hand(make, loop, tmp_path):
    module = loop.module(make, train=EMA)
    steps = Steps()
    loop.fit(module, batches_of(loop, 20), tmp_path, steps)
    want = steps.seen[0]
    for t, state in enumerate(steps.seen[1:], start=1):
        decay = min(0.6, t / (10 + t))
        for name, value in state.items():
            mixed = value.is_floating_point()
            want[name] = decay * want[name] + (1 - decay) * value if mixed else value
    found = module.exported.state_dict()
    assert found.keys() == want.keys()
    for name, value in want.items():
        torch.testing.assert_close(found[name], value, msg=name)
    last = steps.seen[-1]
    # Weights, and running statistics, which an encoder of averaged weights needs averaged too.
    for name in ("projection.weight", "backbone.layer1.0.bn1.running_mean"):
        assert not torch.allclose(found[name], last[name], atol=1e-6)


def test_only_steps_count(make, loop, tmp_path):
    module = loop.module(make, train=EMA | {"accumulate": 2})
    steps = Steps()
    loop.fit(module, batches_of(loop, 4), tmp_path, steps)
    after = [steps.seen[1], steps.seen[3]]
    want = after[0]["projection.weight"] / 11 + after[1]["projection.weight"] * 10 / 11
    torch.testing.assert_close(module.exported.projection.weight, want)


def test_it_is_not_trained_and_changes_nothing_else(make, loop, tmp_path):
    runs = []
    for settings in ({"lr": 0.01}, EMA):
        module = loop.module(make, train=settings)
        loop.fit(module, batches_of(loop, 3), tmp_path)
        runs.append(module)
    plain, averaged = runs
    assert plain.exported is plain.encoder
    for name, value in plain.encoder.state_dict().items():
        assert torch.equal(averaged.encoder.state_dict()[name], value), name
    assert not any(p.requires_grad for p in averaged.exported.parameters())


def test_it_goes_on_from_a_checkpoint(make, loop, tmp_path):
    through = loop.module(make, train=EMA)
    loop.fit(through, batches_of(loop, 3), tmp_path, epochs=2)
    half = loop.module(make, train=EMA)
    loop.fit(half, batches_of(loop, 3), tmp_path).save_checkpoint(tmp_path / "half.ckpt")
    again = loop.module(make, train=EMA)
    loop.fit(again, batches_of(loop, 3), tmp_path, epochs=2, checkpoint=tmp_path / "half.ckpt")
    assert not torch.equal(half.exported.projection.weight, through.exported.projection.weight)
    for name, value in through.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_the_run_probes_and_exports_the_average(make, dataset, tmp_path):
    graph = build_graph(dataset, dataset / "graph", GraphConfig(), overwrite=True)
    seen = []

    def probe(encoder):
        seen.append(states(encoder))
        return {"recall@1": 0.5}

    config = make.small_run(train=EMA | {"passes": 45})
    train(dataset, graph, tmp_path / "r", config, display=make.silent, probe=probe)
    exported = load_encoder(tmp_path / "r")[0].state_dict()
    checkpoint = torch.load(tmp_path / "r" / "checkpoint" / "last.ckpt", weights_only=True)
    for name, value in exported.items():
        assert torch.equal(seen[-1][name], value), name
        assert torch.equal(checkpoint["state_dict"][f"average.module.{name}"], value), name
    trained = checkpoint["state_dict"]["encoder.projection.weight"]
    assert not torch.equal(trained, exported["projection.weight"])
