"""Case `ops`: every part at a tiny size, and what is said of a way that cannot run."""

import math

import pytest
import torch

from benchmarks import ops, ops_edges, ops_rows, ops_segment, ops_softmax
from benchmarks.__main__ import main
from benchmarks.child import Missing
from benchmarks.timing import WARM_UP, copying, in_turn
from graphrise.errors import ConfigError

CPU = torch.device("cpu")


@pytest.fixture
def small(monkeypatch):
    """Sizes of milliseconds; memory is answered as a process would, without one."""
    monkeypatch.setattr(ops_segment, "ENTRIES", {"cpu": 2000})
    monkeypatch.setattr(ops_edges, "SIZES", {"cpu": (200, 2000)})
    monkeypatch.setattr(ops_rows, "NODES", {"cpu": 300})
    monkeypatch.setattr(ops_rows, "TABLE", {"cpu": 500})
    monkeypatch.setattr(ops_rows, "UPDATED", {"cpu": 40})
    monkeypatch.setattr(ops_softmax, "SIZES", {"cpu": (20_000, 8)})

    def answer(module, settings, need_gib):
        if settings["name"].endswith("torch.compile"):
            return Missing("no compiler")
        return {"extra_mib": 3.0, "peak_mib": 5.0}

    for module in (ops_edges, ops_softmax):
        monkeypatch.setattr(module, "answer", answer)


# torch.sparse is a peer here.
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("part", ops.PARTS)
def test_every_part(part, small):
    rows = ops.run([part], "cpu", 2)
    assert {row.case for row in rows} == {"ops"}
    for row in rows:
        found = row.to_dict()
        assert found["baseline"] != found["variant"]
        missing = "MISSING" in row.baseline or "MISSING" in row.variant
        assert missing == math.isnan(found["ratio"]), found
    assert sum("copy of as many bytes" in row.baseline for row in rows) >= (part != "softmax")


def test_a_way_that_cannot_run_is_in_the_rows(small):
    rows = ops.run(["softmax"], "cpu", 2)
    missing = [row for row in rows if "MISSING, no compiler" in row.baseline]
    assert [row.unit for row in missing] == ["ms", "MiB"]
    sampled = [row for row in rows if "sampled" in row.baseline and row.unit == "MiB"]
    assert [row.ratio for row in sampled] == [1.0]


def test_no_gpu(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="PyTorch sees no GPU"):
        ops.run(["rows"], "cuda", 1)
    assert main(["ops", "--device", "cuda"]) == 1
    assert "no GPU" in capsys.readouterr().err


def test_ways_take_turns():
    calls = []
    ways = {name: lambda name=name: calls.append(name) for name in "ab"}
    times = in_turn(ways, CPU, 3)
    assert {name: len(of) for name, of in times.items()} == {"a": 3, "b": 3}
    turns = ["".join(calls[at : at + 2]) for at in range(0, len(calls), 2)]
    assert turns == ["ab", "ba", "ab", "ba", "ab"][: 3 + WARM_UP]


def test_a_copy_moves_half_and_half():
    copied = copying(1000, CPU)()
    assert isinstance(copied, torch.Tensor)
    assert copied.nbytes == 500
    assert bool((copied == 1).all())


def test_memory_of_the_softmax_is_measured():
    # In this process: what the logits take is there, and our blocks are not.
    labels, images = 40_000, 64
    extra = {
        name: ops_softmax._measure(name, "cpu", labels, images)["extra_mib"]
        for name in (ops_softmax.FULL, ops_softmax.OURS)
    }
    logits = labels * images * 4 / 2**20
    assert extra[ops_softmax.FULL] > logits
    assert extra[ops_softmax.OURS] < 2 * logits
