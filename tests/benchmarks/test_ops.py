"""Case `ops`: every part at a tiny size, and what is said of a way that cannot run."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import ops, ops_edges, ops_rows, ops_segment, ops_softmax
from benchmarks.__main__ import main
from benchmarks.child import Missing
from benchmarks.rows import Row
from benchmarks.timing import WARM_UP, copying, in_turn
from graphrise.errors import ConfigError, GraphriseError

CPU = torch.device("cpu")
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture
def small(monkeypatch):
    """Sizes of milliseconds; memory is answered as a process would, without one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so little work waits for them only
    for module, name, size in (
        (ops_segment, "ENTRIES", 2000),
        (ops_edges, "SIZES", (200, 2000)),
        (ops_rows, "NODES", 300),
        (ops_rows, "TABLE", 500),
        (ops_rows, "UPDATED", 40),
        (ops_softmax, "SIZES", (20_000, 8)),
    ):
        monkeypatch.setattr(module, name, {"cpu": size, "cuda": size})

    def answer(module, settings, need_gib):
        if settings["name"].endswith("torch.compile"):
            return Missing("no compiler")
        return {"extra_mib": 3.0, "peak_mib": 5.0}

    for module in (ops_edges, ops_softmax):
        monkeypatch.setattr(module, "answer", answer)
    yield
    torch.set_num_threads(threads)


def measured(*parts, device="cpu"):
    return [row for part in ops.run(parts, device, 2) for row in part]


# torch.sparse is a peer here.
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("part", ops.PARTS)
def test_every_part(part, small, device):
    rows = measured(part, device=device)
    assert {row.case for row in rows} == {"ops"}
    for row in rows:
        found = row.to_dict()
        assert found["baseline"] != found["variant"]
        missing = "MISSING" in row.baseline or "MISSING" in row.variant
        assert missing == math.isnan(found["ratio"]), found
    assert sum("copy of as many bytes" in row.baseline for row in rows) >= (part != "softmax")


def test_a_way_that_cannot_run_is_in_the_rows(small):
    rows = measured("softmax")
    missing = [row for row in rows if "MISSING, no compiler" in row.baseline]
    assert [row.unit for row in missing] == ["ms", "MiB"]
    sampled = [row for row in rows if "sampled" in row.baseline and row.unit == "MiB"]
    assert [row.ratio for row in sampled] == [1.0]


class OfNoKnownKind(Exception):
    """As a compiler's."""


def failing(*args, **kwargs):
    raise OfNoKnownKind("no\nluck")


def test_a_peer_that_fails_is_left_out_with_its_reason(small, monkeypatch):
    monkeypatch.setattr(torch, "segment_reduce", failing)
    rows = measured("segment")
    lost = [row for row in rows if "torch.segment_reduce" in row.baseline]
    assert [row.baseline for row in lost] == [
        "torch.segment_reduce: MISSING, OfNoKnownKind: no luck"
    ]
    assert all(math.isfinite(row.values[0]) for row in rows)
    assert sum(math.isfinite(row.ratio) for row in rows) >= 7


@pytest.mark.parametrize("part", [ops_edges, ops_softmax])
def test_a_process_that_fails_leaves_the_others(small, monkeypatch, part):
    def answer(module, settings, need_gib):
        if settings["name"] in (part.WAYS[-1], part.WAYS[-2]):
            raise subprocess.CalledProcessError(1, "python")
        return {"extra_mib": 3.0, "peak_mib": 5.0}

    monkeypatch.setattr(part, "answer", answer)
    monkeypatch.setattr(part, "OWN", part.WAYS[:-2])
    rows = measured(part.__name__.removeprefix("benchmarks.ops_"))
    known = [row for row in rows if math.isfinite(row.ratio)]
    lost = [row for row in rows if not math.isfinite(row.ratio)]
    assert len(known) >= 2
    assert len(lost) >= 4
    assert all("MISSING, CalledProcessError" in row.variant + row.baseline for row in lost)


def wrong_loss(z, *rest, **options):
    return 1.01 * real_loss(z, *rest, **options)


def wrong_step(table, *rest, lr, **options):
    real_step(table, *rest, lr=1.1 * lr, **options)


def wrong_distance(z, pairs):
    return real_distance(z, pairs) + 0.01 * z[pairs[0]].square().sum(dim=1)


real_loss, real_step = ops_softmax.linear_cross_entropy, ops_rows.rowwise_adagrad_
real_distance = ops_edges.edge_distance


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize(
    ("module", "name", "change", "why"),
    [
        (ops_segment, "segment_reduce", failing, "OfNoKnownKind: no luck"),
        (ops_edges, "edge_energy", failing, "OfNoKnownKind: no luck"),
        (ops_edges, "edge_distance", wrong_distance, "AssertionError"),
        (ops_rows, "neighbor_sum", lambda z, *_: torch.zeros_like(z), "AssertionError"),
        (ops_rows, "rowwise_adagrad_", wrong_step, "AssertionError"),
        (ops_softmax, "linear_cross_entropy", wrong_loss, "AssertionError"),
    ],
)
def test_what_fails_of_ours_is_loud(
    small, monkeypatch, tmp_path, capsys, module, name, change, why
):
    monkeypatch.setattr(module, name, change)
    part = module.__name__.removeprefix("benchmarks.ops_")
    other = "rows" if part == "segment" else "segment"
    command = ["ops", "--only", part, other, "--repetitions", "2"]
    assert main([*command, "--json", str(tmp_path / "rows.jsonl")]) == 1
    assert f": FAILED, {why}" in capsys.readouterr().err
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    failed = [row for row in rows if f": FAILED, {why}" in row["variant"]]
    assert failed
    assert all(math.isnan(row["value"]) for row in failed)
    known = {row["metric"] for row in rows if math.isfinite(row["value"])}
    assert any(("segment" if other == "segment" else "Adagrad") in metric for metric in known)


def test_a_part_that_ends_early_leaves_the_others(small, monkeypatch):
    monkeypatch.setitem(ops.PARTS, "rows", failing)
    parts = ops.run(["rows", "segment"], "cpu", 2)
    assert [row.variant for row in next(parts)] == ["part rows: FAILED, OfNoKnownKind: no luck"]
    assert all(math.isfinite(row.values[0]) for row in next(parts))
    with pytest.raises(GraphriseError, match="part rows: FAILED"):
        next(parts)


def test_what_was_measured_is_written_before_the_next_part(small, monkeypatch, tmp_path):
    def interrupted(device, repetitions):
        assert len((tmp_path / "rows.jsonl").read_text().splitlines()) > 5
        assert len((tmp_path / "rows.csv").read_text().splitlines()) > 6
        raise KeyboardInterrupt

    monkeypatch.setitem(ops.PARTS, "rows", interrupted)
    files = ["--json", str(tmp_path / "rows.jsonl"), "--csv", str(tmp_path / "rows.csv")]
    with pytest.raises(KeyboardInterrupt):
        main(["ops", "--only", "segment", "rows", "--repetitions", "2", *files])
    assert {file.name for file in tmp_path.iterdir()} == {"rows.jsonl", "rows.csv"}


@pytest.mark.parametrize("part", [ops_edges, ops_softmax])
def test_memory_of_the_gpu_is_given_back_before_a_process_starts(small, monkeypatch, part):
    calls = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("emptied"))

    def answer(module, settings, need_gib):
        calls.append("started")
        raise KeyboardInterrupt

    monkeypatch.setattr(part, "answer", answer)
    with pytest.raises(KeyboardInterrupt):
        part.rows(CPU, 1)
    assert calls == ["emptied", "started"]


def test_the_gpu_is_named_where_it_was_used(monkeypatch):
    row = Row(
        case="ops",
        variant="ours",
        metric="time",
        values=[1.0],
        unit="ms",
        baseline="theirs",
        baseline_values=[2.0],
    )
    assert "A100" not in row.to_dict()["machine"]
    gpu = SimpleNamespace(name="NVIDIA A100-SXM4", total_memory=80 << 30)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: gpu)
    assert row.to_dict()["machine"].endswith("cores, NVIDIA A100-SXM4 of 80 GiB")


WITHOUT = """
import sys
for name in ("duckdb", "faiss", "gradio", "jsonargparse", "lmdb", "networkx", "optuna", "pyspark",
             "pytorch_metric_learning", "simplejpeg", "sklearn", "tensorboardX", "torch_scatter"):
    sys.modules[name] = None
from benchmarks.__main__ import main
try:
    main(["ops", "--help"])
except SystemExit as done:
    assert done.code == 0
from benchmarks import ops_segment
ops_segment.ENTRIES = {"cpu": 2000}
assert main(["ops", "--only", "segment", "--repetitions", "1"]) == 0
sys.modules["torchvision.io"] = None
assert main(["decode"]) == 1
"""


@pytest.mark.slow
def test_a_case_needs_no_packages_but_its_own():
    root = Path(ops.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "--repetitions" in done.stdout
    assert "segment sum" in done.stdout
    assert "benchmarks: case decode cannot run here" in done.stderr
    assert "torchvision.io" in done.stderr


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
