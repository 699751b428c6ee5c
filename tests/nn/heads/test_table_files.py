"""Saved label tables: what comes back, in which parts, from which memory, and after a crash."""

import json
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphrise.errors import ConfigError, DataError
from graphrise.nn.heads import (
    LabelTable,
    LogUniform,
    SampledSoftmax,
    grow,
    load_table,
    mapped_copy,
    mapped_table,
    open_table,
    refill_table,
    row_files,
    save_table,
)
from graphrise.nn.heads.table_files import write_shard
from graphrise.nn.heads.table_format import SavedTable
from graphrise.nn.rowwise import RowwiseAdagrad

DTYPES = [torch.float32, torch.bfloat16, torch.float64]


def make(num_labels=23, dim=3, dtype=torch.float32, seed=5, first=0):
    table = LabelTable(num_labels, dim, dtype=dtype, seed=seed, first=first)
    table.state.copy_(torch.arange(first, first + num_labels) / 7)
    return table


def equal(one, other):
    assert (one.weight.dtype, one.state.dtype) == (other.weight.dtype, other.state.dtype)
    assert (one.first, one.seed) == (other.first, other.seed)
    return torch.equal(one.weight, other.weight) and torch.equal(one.state, other.state)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(row_files, "_BLOCK", 40)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (23, 3)])
def test_there_and_back(tmp_path, small_blocks, dtype, shape):
    table = make(*shape, dtype=dtype)
    table.weight[0, 0] = float("nan")
    save_table(table, tmp_path / "table")
    for again in (
        load_table(tmp_path / "table", verify=True),
        open_table(tmp_path / "table"),
        mapped_copy(tmp_path / "table", tmp_path / "copy", verify=True),
    ):
        # Bits, not numbers: a NaN is one too.
        again.weight, one = again.weight.view(torch.uint8), again.weight
        assert torch.equal(again.weight, table.weight.view(torch.uint8))
        again.weight = one
        assert torch.equal(again.state, table.state)
        assert (again.weight.dtype, again.state.dtype) == (dtype, table.state.dtype)
        assert (again.first, again.seed) == (0, 5)
        assert again.gradient.grad is None


def test_the_files_are_plain_npy(tmp_path):
    table = make(6, 4, dtype=torch.bfloat16)
    save_table(table, tmp_path / "table")
    bits = np.load(tmp_path / "table" / "weight_00000.npy", mmap_mode="r", allow_pickle=False)
    assert (bits.shape, bits.dtype) == ((6, 4), np.uint16)
    assert np.array_equal(bits, table.weight.view(torch.int16).numpy().view(np.uint16))
    state = np.load(tmp_path / "table" / "state_00000.npy", allow_pickle=False)
    assert np.array_equal(state, table.state.numpy())
    meta = json.loads((tmp_path / "table" / "table.json").read_text())
    assert {k: meta[k] for k in ("format", "num_labels", "dim", "dtype", "seed")} == {
        "format": 1,
        "num_labels": 6,
        "dim": 4,
        "dtype": "bfloat16",
        "seed": 5,
    }


def test_a_table_that_is_not_contiguous(tmp_path, small_blocks):
    weight = torch.randn(4, 22)[:, ::2].t()
    table = LabelTable(11, 4, weight=weight)
    save_table(table, tmp_path / "table")
    assert equal(load_table(tmp_path / "table"), table)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_table_on_a_gpu(tmp_path, small_blocks, dtype):
    table = make(dtype=dtype).to("cuda")
    save_table(table, tmp_path / "table")
    assert equal(load_table(tmp_path / "table", verify=True), make(dtype=dtype))
    again = load_table(tmp_path / "table", 3, 11, device="cuda")
    assert again.weight.device.type == again.state.device.type == "cuda"
    assert torch.equal(again.weight.cpu(), make(11, dtype=dtype, first=3).weight)
    assert equal(grow(table, 40).to("cpu"), grow(make(dtype=dtype), 40))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_head_on_a_gpu_trains_a_table_in_files(tmp_path):
    entries = torch.tensor([0, 1]), torch.tensor([3, 9]), torch.ones(2)
    tables = [mapped_table(23, 3, tmp_path / "work"), LabelTable(23, 3)]
    for table, device in zip(tables, ("cuda", "cpu"), strict=True):
        head = SampledSoftmax(table, LogUniform(23, 4)).to(device)
        z = (torch.arange(6.0).view(2, 3) / 6).to(device)
        head(z, *(of.to(device) for of in entries)).backward()
        RowwiseAdagrad([table], lr=0.5).step()
    assert tables[0].weight.device.type == "cpu"
    trained = torch.from_numpy(np.load(tmp_path / "work" / "weight.npy"))
    torch.testing.assert_close(trained, tables[1].weight, rtol=1e-4, atol=1e-5)


def save_parts(table, sizes, folder):
    """As ranks would: a shard each."""
    folder.mkdir()
    shards, first = [], 0
    for number, size in enumerate(sizes):
        part = make(size, table.dim, table.weight.dtype, table.seed, first)
        shards.append(write_shard(part, folder, number))
        first += size
    SavedTable(folder, table.dim, table.weight.dtype, table.seed, tuple(shards)).write(folder)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.sampled_from(DTYPES), st.data())
def test_any_part_of_any_shards(tmp_path_factory, sizes, dtype, data):
    folder = tmp_path_factory.mktemp("parts")
    whole = make(sum(sizes), dtype=dtype)
    save_parts(whole, sizes, folder / "saved")
    first = data.draw(st.integers(0, sum(sizes) - 1))
    count = data.draw(st.integers(1, sum(sizes) - first))
    want = make(count, dtype=dtype, first=first)
    assert torch.equal(want.weight, whole.weight[first : first + count])
    assert equal(load_table(folder / "saved", first, count, verify=True), want)
    assert equal(mapped_copy(folder / "saved", folder / "copy", first, count), want)
    assert load_table(folder / "saved", first).num_labels == sum(sizes) - first
    ends = np.cumsum(sizes)
    if np.searchsorted(ends, first, side="right") == np.searchsorted(ends, first + count):
        assert equal(open_table(folder / "saved", first, count), want)
    else:
        with pytest.raises(DataError, match=r"lie in \d shards.*mapped_copy"):
            open_table(folder / "saved", first, count)


def steps(table, first, count, saved=None):
    """Training steps of a head; gives what a checkpoint would keep."""
    head = SampledSoftmax(table, LogUniform(table.num_labels, 9, seed=3), smoothing=0.1)
    optimizer = RowwiseAdagrad([table], lr=0.3, weight_decay=0.01, seed=8)
    if saved is not None:
        state = torch.load(saved, weights_only=True)
        head.load_state_dict(state["head"])
        optimizer.load_state_dict(state["optimizer"])
    for step in range(first, first + count):
        random = torch.Generator().manual_seed(step)
        z = torch.randn(6, table.dim, generator=random)
        index = torch.randint(table.num_labels, (8,), generator=random)
        row = torch.tensor([0, 0, 1, 2, 3, 3, 4, 5])
        weight = torch.tensor([0.5, 0.5, 1, 1, 0.25, 0.75, 1, 1])
        optimizer.zero_grad()
        head(z, row, index, weight).backward()
        optimizer.step()
    return {"head": head.state_dict(), "optimizer": optimizer.state_dict()}


def tables(kind, dtype, folder):
    if kind == "memory":
        return LabelTable(40, 6, dtype=dtype, seed=2)
    return mapped_table(40, 6, folder, dtype=dtype, seed=2)


@pytest.mark.parametrize("kind", ["memory", "mapped"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_run_goes_on_bit_for_bit(tmp_path, dtype, kind):
    undisturbed = LabelTable(40, 6, dtype=dtype, seed=2)
    steps(undisturbed, 0, 10)
    table = tables(kind, dtype, tmp_path / "work")
    torch.save(steps(table, 0, 5), tmp_path / "rest.pt")
    save_table(table, tmp_path / "saved")
    # What happens to the table after it was saved does not reach the saved one.
    steps(table, 5, 2)
    if kind == "memory":
        again = load_table(tmp_path / "saved")
    else:
        again = mapped_copy(tmp_path / "saved", tmp_path / "work", overwrite=True)
    assert not equal(again, undisturbed)
    steps(again, 5, 5, tmp_path / "rest.pt")
    assert equal(again, undisturbed)


def test_a_mapped_table_is_trained_in_its_files(tmp_path):
    table = mapped_table(300, 4, tmp_path / "work", seed=9, first=20)
    assert equal(table, LabelTable(300, 4, seed=9, first=20))
    table.weight[7] = 2.0
    table.state[7] = 3.0
    assert np.load(tmp_path / "work" / "weight.npy")[7].tolist() == [2.0] * 4
    assert np.load(tmp_path / "work" / "state.npy")[7] == 3.0
    # Its files are no checkpoint, and are not replaced by accident.
    with pytest.raises(DataError, match="not a saved label table"):
        load_table(tmp_path / "work")
    with pytest.raises(DataError, match="exists already"):
        mapped_table(300, 4, tmp_path / "work")
    mapped_table(3, 4, tmp_path / "work", overwrite=True)
    assert table.weight[7].tolist() == [2.0] * 4


def test_an_opened_table_does_not_change_its_files(tmp_path):
    table = make()
    save_table(table, tmp_path / "table")
    opened = open_table(tmp_path / "table", 3, 10)
    opened.weight.zero_()
    opened.state.fill_(1)
    assert not opened.weight.any()
    assert equal(load_table(tmp_path / "table", verify=True), table)
    copy = mapped_copy(tmp_path / "table", tmp_path / "work")
    copy.weight.zero_()
    assert equal(load_table(tmp_path / "table", verify=True), table)


@pytest.mark.parametrize("kind", [open_table, mapped_table, mapped_copy, load_table])
def test_rows_of_files_stay_there_when_a_module_is_moved(tmp_path, kind):
    save_table(make(), tmp_path / "table")
    table = {
        open_table: lambda: open_table(tmp_path / "table"),
        mapped_table: lambda: mapped_table(23, 3, tmp_path / "work"),
        mapped_copy: lambda: mapped_copy(tmp_path / "table", tmp_path / "work"),
        load_table: lambda: load_table(tmp_path / "table", device="cpu"),
    }[kind]()
    head = SampledSoftmax(table, LogUniform(23, 4)).to("meta").to(torch.bfloat16)
    assert head.step.device.type == "meta"
    assert (table.weight.device.type, table.weight.dtype) == ("cpu", torch.float32)
    table.gather(torch.tensor([2])).sum().backward()
    RowwiseAdagrad([table], lr=0.5).step()
    trained = table.weight[2].tolist()
    if kind in (mapped_table, mapped_copy):
        assert np.load(tmp_path / "work" / "weight.npy")[2].tolist() == trained
    else:
        assert trained != make().weight[2].tolist()
    # In memory and without a device it goes along.
    plain = load_table(tmp_path / "table")
    assert torch.nn.Sequential(plain, grow(table, 30)).to("meta")[1].weight.device.type == "meta"
    assert plain.weight.device.type == "meta"


@pytest.mark.parametrize(
    ("first", "count"), [(-1, 2), (0, 24), (23, None), (5, 0), (5, -1), (30, None), (22, 2)]
)
def test_labels_that_are_not_there(tmp_path, first, count):
    save_table(make(), tmp_path / "table")
    for take in (load_table, open_table, lambda *a: mapped_copy(a[0], tmp_path / "w", *a[1:])):
        with pytest.raises(DataError, match="and it has 23"):
            take(tmp_path / "table", first, count)
    assert not (tmp_path / "w").exists()


def cut(folder):
    file = folder / "state_00000.npy"
    file.write_bytes(file.read_bytes()[:-4])


def swap_shape(folder):
    # As many bytes, another shape.
    np.save(folder / "weight_00000.npy", np.zeros((3, 23), dtype=np.float32))


def flip(folder):
    file = folder / "weight_00000.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def edit(**changes):
    def change(folder):
        file = folder / "table.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


DAMAGE = {
    "json gone": (lambda f: (f / "table.json").unlink(), "not a saved label table"),
    "json cut": (lambda f: (f / "table.json").write_text('{"format": 1,'), "damaged"),
    "json a list": (lambda f: (f / "table.json").write_text("[1]"), "damaged"),
    "newer format": (edit(format=2), "format 2, this graphrise reads 1; upgrade"),
    "older format": (edit(format=0), "format 0, .*save the table again"),
    "dtype": (edit(dtype="int8"), "damaged .*int8"),
    "no shards": (edit(shards=[]), "damaged"),
    "labels": (edit(num_labels=24), "damaged .*23 labels"),
    "file gone": (lambda f: (f / "weight_00000.npy").unlink(), "weight_00000.npy: cannot be read"),
    "file cut": (cut, r"state_00000.npy: damaged \(216 bytes, not 220\)"),
    "file of another shape": (swap_shape, r"weight_00000.npy: damaged \(not <f4 of shape"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_told(tmp_path, damage, message):
    folder = tmp_path / "table"
    save_table(make(), folder)
    damage(folder)
    for take in (load_table, open_table):
        with pytest.raises(DataError, match=message):
            take(folder)
    with pytest.raises(DataError, match=message):
        mapped_copy(folder, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_a_changed_number_is_found_by_its_checksum(tmp_path):
    save_table(make(), tmp_path / "table")
    flip(tmp_path / "table")
    assert not equal(load_table(tmp_path / "table"), make())
    with pytest.raises(DataError, match=r"weight_00000.npy: damaged \(its checksum differs\)"):
        load_table(tmp_path / "table", verify=True)


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match="nowhere: not a saved label table"):
        load_table(tmp_path / "nowhere")


def test_overwriting(tmp_path):
    save_table(make(seed=1), tmp_path / "table")
    with pytest.raises(DataError, match="exists already"):
        save_table(make(seed=2), tmp_path / "table")
    assert equal(load_table(tmp_path / "table"), make(seed=1))
    save_table(make(seed=2), tmp_path / "table", overwrite=True)
    assert equal(load_table(tmp_path / "table"), make(seed=2))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years")
    with pytest.raises(DataError, match=r"holds no table\.json"):
        save_table(make(), tmp_path / "other", overwrite=True)
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["thesis.txt"]


def test_a_shard_alone_is_not_a_table(tmp_path):
    with pytest.raises(ConfigError, match="give the group of ranks"):
        save_table(make(first=4), tmp_path / "table")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"num_labels": 0}, {"dim": 0}, {"dtype": torch.float16}])
def test_a_mapped_table_of_nothing(tmp_path, wrong):
    arguments = {"num_labels": 2, "dim": 2, **wrong}
    with pytest.raises(ConfigError, match="mapped_table"):
        mapped_table(folder=tmp_path / "work", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_opened_table_may_be_larger_than_memory(tmp_path):
    save_table(make(9, 1024), tmp_path / "table")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    many = 4 * memory // 4096
    meta = tmp_path / "table" / "table.json"
    meta.write_text(meta.read_text().replace(": 9", f": {many}"))
    for part, shape in (("weight", (many, 1024)), ("state", (many,))):
        head = row_files._header(shape, torch.float32)
        file = tmp_path / "table" / f"{part}_00000.npy"
        file.write_bytes(head)
        try:
            os.truncate(file, len(head) + 4 * math.prod(shape))
        except OSError:
            pytest.skip("no such large files here")
    table = open_table(tmp_path / "table")
    table.weight[-1] = 1
    assert table.weight[-2:].sum(dim=1).tolist() == [0, 1024]
    assert table.state[-1] == 0


KILLED = """
import os, signal, sys
from pathlib import Path
from graphrise.nn.heads import LabelTable, row_files, save_table, table_format

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def killed(folder, at_a_block):
    save_table(LabelTable(5000, 8, seed=1), folder)
    row_files._BLOCK = 1 << 12
    if at_a_block:
        parts, seen = row_files._bytes, []
        row_files._bytes = lambda rows: die() if len(seen) > 20 else seen.append(1) or parts(rows)
    else:
        table_format.SavedTable.write = die
    save_table(LabelTable(5000, 8, seed=2), folder, overwrite=True)

for number, name in enumerate(("block", "json")):
    child = os.fork()
    if child == 0:
        killed(Path(sys.argv[1]) / name / "table", number == 0)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
"""


def child(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_half_way_the_last_good_one_stays(tmp_path):
    done = child(KILLED, tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ("block", "json"):
        folder = tmp_path / name
        assert equal(load_table(folder / "table", verify=True), LabelTable(5000, 8, seed=1))
        (left,) = [p for p in folder.iterdir() if p.name != "table"]
        assert list(left.iterdir())
        with pytest.raises(DataError, match="not a saved label table"):
            load_table(left)
        # The next save clears it away.
        save_table(make(), folder / "table", overwrite=True)
        assert [p.name for p in folder.iterdir()] == ["table"]


KILLED_LATE = """
import os, signal, sys
from pathlib import Path
from graphrise.nn.heads import LabelTable, save_table

folder, replace = Path(sys.argv[1]), os.replace

def last(source, target):
    if target == folder and source.suffix == ".tmp":
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

save_table(LabelTable(50, 8, seed=1), folder)
os.replace = last
save_table(LabelTable(50, 8, seed=2), folder, overwrite=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_between_the_two_renames_the_last_good_one_is_put_back_by_a_save(tmp_path):
    done = child(KILLED_LATE, tmp_path / "table")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "table").exists()
    with pytest.raises(DataError, match="exists already"):
        save_table(make(), tmp_path / "table")
    assert equal(load_table(tmp_path / "table", verify=True), LabelTable(50, 8, seed=1))
    assert [p.name for p in tmp_path.iterdir()] == ["table"]


MEMORY = """
import sys
from pathlib import Path
from graphrise.nn.heads import LabelTable, load_table, save_table

def status(field):
    for line in open("/proc/self/status"):
        if line.startswith(field):
            return int(line.split()[1]) * 1024

def peak_over(work):
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    result = work()
    return result, status("VmHWM") - before

folder = Path(sys.argv[1])
LabelTable(1, 64)
if folder.exists():
    again, loading = peak_over(lambda: load_table(folder, verify=True))
    print(loading)
else:
    table, made = peak_over(lambda: LabelTable(800_000, 64))
    table.state.fill_(1)
    _, saving = peak_over(lambda: save_table(table, folder))
    print(made, saving)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_second_copy_in_memory(tmp_path):
    # One process each: malloc may keep the memory of a dropped table for the next one.
    done = [child(MEMORY, tmp_path / "table") for _ in range(2)]
    assert [one.returncode for one in done] == [0, 0], done[0].stderr + done[1].stderr
    made, saving, loading = (int(n) for one in done for n in one.stdout.split())
    size = 800_000 * 65 * 4
    assert made > 0.9 * size  # or nothing is measured
    assert saving < 0.3 * size
    assert 0.9 * size < loading < 1.3 * size


RANKS = """
import datetime, os, sys
from pathlib import Path
import torch, torch.distributed as dist
from graphrise.errors import DataError, ConfigError
from graphrise.nn.heads import LabelTable, load_table, save_table

folder, rank = Path(sys.argv[1]), int(sys.argv[2])
store = dist.FileStore(str(folder / "store"), 2)
limit = datetime.timedelta(seconds=60)
dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=limit)
first, count = [(0, 7), (7, 4)][rank]
table = LabelTable(count, 3, seed=5, first=first)
table.state.copy_(torch.arange(first, first + count) / 7)
world = dist.group.WORLD
save_table(table, folder / "table", group=world)
assert load_table(folder / "table").num_labels == 11  # there when it returns, on every rank

def refused(error, part, work):
    try:
        work()
    except error as raised:
        assert part in str(raised), raised
    else:
        raise AssertionError(part)

refused(DataError, "exists already", lambda: save_table(table, folder / "table", group=world))
wrong = LabelTable(4, 3, seed=5, first=6 + rank)
refused(ConfigError, "follow", lambda: save_table(wrong, folder / "wrong", group=world))
if rank == 1:
    table.state = table.state.to(torch.int8)  # cannot be written
kind = (DataError, KeyError)[rank]
refused(kind, "int8", lambda: save_table(table, folder / "bad", group=world))
dist.barrier()
dist.destroy_process_group()
# Not through the interpreter's end: a thread of gloo that wants it then aborts the process.
os._exit(0)
"""


@pytest.mark.slow
def test_two_ranks_save_one_table(tmp_path):
    command = [sys.executable, "-c", RANKS, str(tmp_path)]
    ranks = [
        subprocess.Popen([*command, str(n)], stderr=subprocess.PIPE, text=True) for n in range(2)
    ]
    errors = [rank.communicate(timeout=120)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(errors)
    assert equal(load_table(tmp_path / "table", verify=True), make(11))
    assert equal(load_table(tmp_path / "table", 5, 4), make(4, first=5))
    # What failed on one rank left nothing on the other.
    assert {p.name for p in tmp_path.iterdir()} == {"store", "table"}


@pytest.mark.parametrize(("first", "count"), [(0, 23), (7, 9)])
def test_rows_are_read_into_a_table_that_is_there(tmp_path, first, count):
    whole = LabelTable(23, 4, seed=1)
    whole.state.uniform_()
    save_table(whole, tmp_path / "t")
    part = LabelTable(count, 4, first=first, seed=2)
    place = part.weight.data_ptr()
    refill_table(part, tmp_path / "t")
    assert part.weight.data_ptr() == place
    assert torch.equal(part.weight, whole.weight[first : first + count])
    assert torch.equal(part.state, whole.state[first : first + count])


def test_rows_of_another_kind_are_not_read(tmp_path):
    save_table(LabelTable(23, 4), tmp_path / "t")
    with pytest.raises(DataError, match="rows of 4 numbers"):
        refill_table(LabelTable(23, 5), tmp_path / "t")
    with pytest.raises(DataError, match="bfloat16"):
        refill_table(LabelTable(23, 4, dtype=torch.bfloat16), tmp_path / "t")
    with pytest.raises(DataError):
        refill_table(LabelTable(24, 4), tmp_path / "t")
