"""Case `head`, small: its rows, what is missing, and that peers train on the same loss."""

import json
import math

import pytest
import torch

from benchmarks import child, head, head_worker
from benchmarks.__main__ import main
from benchmarks.head_peers import DenseRows, SparseRows
from graphrise.errors import ConfigError
from graphrise.nn.heads import LabelTable, LogUniform, SampledSoftmax

SIZE = head.Size(labels=900, dim=8, batch=6, negatives=40, steps=4)
WORK = head_worker.Work(
    ways=[("float32", 900), ("bfloat16", 300), ("sparse", 200), ("dense", 100)],
    dim=8,
    batch=6,
    negatives=40,
    steps=4,
)


@pytest.fixture
def here(monkeypatch):
    """Children's work is done in this process; gives what was asked of them."""
    asked = []

    def answer(module, settings, need_gib):
        assert module == "benchmarks.head_worker"
        asked.append((settings["ways"], settings["steps"], need_gib))
        limited = {"sparse", "dense"} & {way for way, _ in settings["ways"]}
        assert settings["limit_s"] == math.inf or (limited and settings["limit_s"] == head.PEER_S)
        return head_worker.measure(head_worker.Work(**json.loads(json.dumps(settings))))

    monkeypatch.setattr(head, "answer", answer)
    monkeypatch.setattr(head, "SMALL", 100)
    return asked


def test_rows(here, capsys):
    rows = head.run(SIZE, head.PARTS, 2, 200)
    ours, peer = "ours, float32, 900 labels", "ours, float32, 200 labels"
    bf16, computed = "ours, bfloat16, 900 labels", "weights and sums, computed"
    fill = "bare uniform_, scaled up"
    sparse, dense = head.PEERS.values()
    assert [(r.variant, r.metric, r.baseline, len(r.values)) for r in rows] == [
        ("import alone", "peak memory", "itself", 1),
        (ours, "training step", "100 labels", 8),
        (ours, "initialisation", fill, 2),
        (ours, "peak memory", computed, 2),
        (bf16, "training step", "100 labels", 8),
        (bf16, "initialisation", fill, 2),
        (bf16, "peak memory", computed, 2),
        (peer, "training step", sparse, 8),
        (peer, "training step", dense, 8),
        (peer, "peak memory", sparse, 1),
        (peer, "peak memory", dense, 1),
    ]
    for row in rows:
        found = json.loads(json.dumps(row.to_dict()))
        assert found["value"] > 0
        assert found["baseline_value"] > 0
        assert found["ratio"] == pytest.approx(found["baseline_value"] / found["value"])
        assert found["peak_mib"] > 50
        assert found["versions"]["torch"]
        assert found["size"].startswith("D 8, batch 6, 40 negatives")
    assert rows[3].baseline_values == [900 * 36 / 2**20]
    assert rows[6].baseline_values == [900 * 20 / 2**20]
    told = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in told] == [ours, bf16]
    assert told[0].endswith(f" takes {1 / rows[1].ratio:.3f} x that of 100 labels")


def test_what_shares_a_process(here):
    head.run(SIZE, head.PARTS, 1, 200)
    assert [(ways, steps) for ways, steps, _ in here] == [
        ([], 0),
        ([("float32", 900), ("float32", 100)], 4),
        ([("bfloat16", 900), ("bfloat16", 100)], 4),
        ([("float32", 200), ("sparse", 200)], 4),
        ([("float32", 200), ("dense", 200)], 4),
        ([("float32", 200)], head_worker.FEWEST),
        ([("sparse", 200)], head_worker.FEWEST),
        ([("dense", 200)], head_worker.FEWEST),
    ]
    needs = [need - head.OTHER_GIB for _, _, need in here]
    assert needs[0] == 0
    assert needs[1] == pytest.approx(1000 * 36 / 2**30)
    assert needs[3] == pytest.approx(200 * (36 + 96) / 2**30)


def test_parts(here):
    assert [row.variant for row in head.run(SIZE, (), 1)] == ["import alone"]
    assert len(head.run(SIZE, ("labels",), 1)) == 7
    assert len(head.run(SIZE, ("peers",), 1, 200)) == 5


def test_what_does_not_fit_is_in_the_rows(here, monkeypatch, capsys):
    real = head.answer

    def answer(module, settings, need_gib):
        if {"dense", "bfloat16"} & {way for way, _ in settings["ways"]}:
            return child.Missing("killed, it needs 9.0 GiB")
        return real(module, settings, need_gib)

    monkeypatch.setattr(head, "answer", answer)
    rows = head.run(SIZE, head.PARTS, 1, 200)
    missing = ": MISSING, killed, it needs 9.0 GiB"
    no_bf16 = [row for row in rows if row.variant == f"ours, bfloat16, 900 labels{missing}"]
    assert [row.metric for row in no_bf16] == ["training step", "initialisation", "peak memory"]
    assert all(math.isnan(value) for row in no_bf16 for value in row.values)
    no_peer = [row for row in rows if row.baseline == head.PEERS["dense"] + missing]
    assert [row.metric for row in no_peer] == ["training step", "peak memory"]
    assert all(math.isnan(value) for row in no_peer for value in row.baseline_values)
    assert not math.isnan(no_peer[1].values[0])
    assert sum("MISSING" in row.variant + row.baseline for row in rows) == 5
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("missing: ")]
    assert len(told) == 3
    assert told[-1] == f"missing: {head.PEERS['dense']}, 200 labels (killed, it needs 9.0 GiB)"


def test_largest_sizes_fit():
    most = head.largest(64, 3 * 256)
    assert 26_000_000 < most < 27_000_000
    assert head.gib([("sparse", most)], 64) == head.gib([("dense", most)], 64)
    assert 18.9 < head.gib([("sparse", most)], 64) <= head.ROOM_GIB - head.OTHER_GIB
    both = head.largest(64, 4 * 256 + 4)
    room = head.gib([("float32", both), ("dense", both)], 64)
    assert 18.9 < room <= head.ROOM_GIB - head.OTHER_GIB


@pytest.mark.parametrize(
    "options", [["--labels", "8192"], ["--negatives", "40000"], ["--peer-labels", "8192"]]
)
def test_too_many_negatives(options, capsys):
    assert main(["head", *options]) == 1
    assert "negatives; there must be fewer than --" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="there must be fewer"):
        head.run(SIZE, (), 1, 40)


def test_figures_of_every_way():
    found = head_worker.measure(WORK)
    assert [len(found[key]) for key in ("made", "bare", "steps")] == [4, 4, 4]
    assert [len(steps) for steps in found["steps"]] == [4, 4, 4, 4]
    assert all(value > 0 for steps in found["steps"] for value in steps)


def test_ways_take_turns_and_the_first_steps_are_not_timed(monkeypatch):
    order, clock = [], iter(range(10_000))
    monkeypatch.setattr(head_worker.time, "perf_counter", lambda: float(next(clock)))
    ways = [lambda batch, way=way: order.append(way) or 0.5 for way in range(4)]
    times = head_worker._in_turn(WORK, ways)
    turns = head_worker.WARM_UP + WORK.steps
    assert order == [way if t % 2 == 0 else 3 - way for t in range(turns) for way in range(4)]
    assert times == [[1000.0] * WORK.steps] * 4


def test_long_steps_are_few():
    many = head_worker.Work(**{**vars(WORK), "steps": 1000, "limit_s": 0.0})
    times = head_worker._in_turn(many, [lambda batch: 0.5] * 4)
    assert [len(one) for one in times] == [head_worker.FEWEST] * 4


def test_a_loss_that_is_no_number_is_an_error():
    with pytest.raises(ArithmeticError, match="loss nan in step 0"):
        head_worker._in_turn(WORK, [lambda batch: math.nan])


def test_what_cannot_be_allocated_is_missing(capsys, monkeypatch):
    monkeypatch.setattr(head_worker, "first_to_go", lambda: None)
    ways = [("float32", 1 << 44)]
    head_worker.main(json.dumps({**vars(WORK), "ways": ways}))
    assert json.loads(capsys.readouterr().out) == {"missing": "memory could not be allocated"}
    with pytest.raises(ConfigError):
        head_worker.main(json.dumps({**vars(WORK), "negatives": 0}))


def test_batches():
    generator = torch.Generator().manual_seed(1)
    work = head_worker.Work(**{**vars(WORK), "batch": 4000})
    z, row, index, weight = head_worker.make_batch(900, work, generator)
    assert z.shape == (4000, 8)
    assert z.requires_grad
    assert torch.equal(row, torch.arange(12_000) // 3)
    own = index.view(4000, 3).sort(dim=1).values
    assert bool((own[:, 1:] > own[:, :-1]).all())
    assert (int(own.min()), int(own.max())) >= (0, 500)
    assert int(own.max()) < 900
    torch.testing.assert_close(weight.view(-1, 3).sum(dim=1), torch.ones(4000))
    # Of label 10: log(12 / 11) / log(901) of the draws; a little more, since none comes twice.
    share = (index == 10).float().mean().item()
    assert 0.0105 < share < 0.0175
    least = head_worker.make_batch(3, work, generator)[2].view(-1, 3).sort(dim=1).values
    assert torch.equal(least, torch.arange(3).expand(4000, 3))


@pytest.mark.parametrize("kind", [SparseRows, DenseRows])
def test_peers_have_our_loss_and_gradient_and_learn(kind):
    peer, ours = kind(50, 8), LabelTable(50, 8)
    (weight,) = peer.parameters()
    ours.weight.copy_(weight.detach())
    batch = head_worker.make_batch(50, WORK, torch.Generator().manual_seed(2))
    heads = [SampledSoftmax(table, LogUniform(50, 20)) for table in (peer, ours)]
    losses = [one(*batch) for one in heads]
    assert losses[0].item() == losses[1].item()
    for loss in losses:
        loss.backward()
    assert weight.grad is not None
    dense = weight.grad.to_dense()
    torch.testing.assert_close(dense[ours.touched], ours.gradient.grad, rtol=1e-5, atol=1e-7)
    assert weight.grad.is_sparse == (kind is SparseRows)
    untouched = torch.ones(50, dtype=torch.bool).index_fill(0, ours.touched, False)
    assert not dense[untouched].any()
    assert untouched.any()
    optimizer, before = peer.optimizer(), weight.detach().clone()
    optimizer.step()
    changed = (weight.detach() != before).any(dim=1)
    assert torch.equal(changed, dense.any(dim=1))
    heads[0].step.zero_()
    assert heads[0](*batch).item() < losses[0].item()
    kept = [v for s in optimizer.state.values() for v in s.values() if torch.is_tensor(v)]
    tables = sum(v.numel() for v in kept if v.numel() > 1) // weight.numel()
    # The dense gradient is the third.
    assert 1 + tables + (kind is DenseRows) == 3
