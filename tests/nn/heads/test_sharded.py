"""The label table over several ranks: what one process would compute, on every rank.

The ranks are started once for each number of them, run all checks below in the same order, and
write down what failed; each check is a test that reads what the ranks wrote.
"""

import copy
import datetime
import json
import sys
import traceback
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from graphrise.errors import ConfigError, DataError
from graphrise.nn.heads import (
    InBatch,
    LabelTable,
    LogitRule,
    LogUniform,
    Mixed,
    PartialFC,
    SampledSoftmax,
    ShardedSoftmax,
    Uniform,
    Views,
    ignore_tables,
    shard_bounds,
)
from graphrise.nn.rowwise import RowwiseAdagrad

LABELS, DIM = 10, 5
SIZES = (3, 6, 1, 4)
"""Images of each rank."""
FREQUENCY = torch.arange(LABELS, 0, -1.0)
HEADS = {
    "uniform": (lambda: Uniform(LABELS, 4, seed=3), {}),
    "with replacement": (lambda: Uniform(LABELS, 15, replacement=True, seed=4), {"smoothing": 0.2}),
    "log-uniform": (lambda: LogUniform(LABELS, 3, seed=5), {"smoothing": 0.1}),
    "in batch": (lambda: InBatch(FREQUENCY), {"rule": LogitRule(temperature=0.5)}),
    "mixed": (lambda: Mixed(Uniform(LABELS, 2), InBatch(FREQUENCY)), {"smoothing": 0.3}),
    "all labels": (lambda: Uniform(LABELS, LABELS), {"smoothing": 0.1}),
    "partial": (lambda: Uniform(LABELS, 3, seed=6), {"corrected": False}),
    "arcface": (
        lambda: Uniform(LABELS, 4, seed=7),
        {
            "rule": LogitRule(scale=16.0, margin="arcface", margin_size=0.3),
            "corrected": False,
            "smoothing": 0.1,
        },
    ),
    "cosface": (
        lambda: LogUniform(LABELS, 4, seed=8),
        {"rule": LogitRule(scale=8.0, margin="cosface", margin_size=0.2)},
    ),
}


def batch(sizes, seed=0, labels=range(LABELS), dtype=torch.float64, dim=DIM):
    """For each rank (z, row, index, weight): no to three labels an image, shares that sum to 1."""
    generator = torch.Generator().manual_seed(seed)
    pool, parts = torch.tensor(list(labels)), []
    for size in sizes:
        row, index, weight = [], [], []
        for image in range(size):
            count = int(torch.randint(0, min(4, len(pool) + 1), (), generator=generator))
            share = torch.rand(count, generator=generator, dtype=torch.float64) + 0.1
            row += [image] * count
            index.append(pool[torch.randperm(len(pool), generator=generator)[:count]])
            weight.append(share / share.sum())
        z = torch.randn(size, dim, generator=generator, dtype=torch.float64).to(dtype)
        none = torch.empty(0, dtype=torch.long)
        parts.append(
            (
                z,
                torch.tensor(row, dtype=torch.long),
                torch.cat([none, *index]),
                torch.cat([none.double(), *weight]).to(dtype),
            )
        )
    return parts


def joined(parts):
    """The batch of one process: rows of every rank's images after those of the ranks before."""
    before, moved = 0, []
    for z, row, _, _ in parts:
        moved.append(row + before)
        before += len(z)
    z, _, index, weight = (torch.cat(of) for of in zip(*parts, strict=True))
    return z, torch.cat(moved), index, weight


def single(negatives, dtype=torch.float64, corrected=True, **options):
    """The head of one process."""
    head = SampledSoftmax(LabelTable(LABELS, DIM, dtype=dtype, seed=1), negatives, **options)
    # What PartialFC sets, of any sampler.
    head._corrected = corrected
    return head


def shard(rank, world, negatives, dtype=torch.float64, **options):
    begin, end = shard_bounds(LABELS, rank, world)
    table = LabelTable(end - begin, DIM, dtype=dtype, seed=1, first=begin)
    return ShardedSoftmax(table, negatives, **options)


def dense(table):
    grad = torch.zeros(table.num_labels, table.dim, dtype=table.state.dtype)
    return grad if table.gradient.grad is None else grad.index_copy(0, *rows_of(table))


def rows_of(table):
    return table.touched, table.gradient.grad


def compare(rank, world, parts, make, steps=2, atol=1e-10, **options):
    """Losses and gradients of some steps, against those of one process."""
    one, head = single(make(), **options), shard(rank, world, make(), **options)
    mine = slice(*shard_bounds(LABELS, rank, world))
    for _ in range(steps):
        z, row, index, weight = joined(parts)
        z.requires_grad_()
        want = one(z, row, index, weight)
        want.backward()
        here, *entries = parts[rank]
        here = here.clone().requires_grad_()
        loss = head(here, *entries)
        loss.backward()
        assert loss.dtype == want.dtype
        torch.testing.assert_close(loss, want, rtol=0, atol=atol)
        assert here.grad is not None
        assert z.grad is not None
        part = z.grad.split([len(of[0]) for of in parts])[rank]
        torch.testing.assert_close(here.grad / world, part, rtol=0, atol=atol)
        torch.testing.assert_close(dense(head.table), dense(one.table)[mine], rtol=0, atol=atol)
        touched = one.table.touched
        inside = touched[(touched >= mine.start) & (touched < mine.stop)] - mine.start
        assert torch.equal(head.table.touched, inside)
        for table in (head.table, one.table):
            table.gradient.grad = None
    assert int(head.step) == int(one.step) == steps
    return loss


def check_losses_and_gradients(rank, world):
    for make, options in HEADS.values():
        compare(rank, world, batch(SIZES[:world]), make, **options)


def check_single_precision_is_as_exact(rank, world):
    parts = batch(SIZES[:world], dtype=torch.float32)
    for make, options in HEADS.values():
        truth = single(make(), **options)
        truth.table.weight.copy_(single(make(), torch.float32).table.weight)
        one = single(make(), torch.float32, **options)
        head = shard(rank, world, make(), torch.float32, **options)
        z, row, index, weight = joined(parts)
        want = truth(z.double(), row, index, weight.double())
        loss = head(*parts[rank])
        assert loss.dtype == torch.float32
        error = (one(z, row, index, weight) - want).abs()
        assert (loss - want).abs() <= error + 1e-6


def views_of(part, seed):
    """For a rank's images some views, with repetition, and two weights of each."""
    generator = torch.Generator().manual_seed(seed)
    images = len(part[0])
    count = int(torch.randint(0, 5, (), generator=generator)) if images else 0
    image = torch.randint(0, max(images, 1), (count,), generator=generator)
    weight = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    z = torch.randn(count, DIM, generator=generator, dtype=torch.float64)
    return z, Views(image, weight)


def check_views(rank, world):
    for sizes in (SIZES[:world], [0, *SIZES[1:world]]):
        parts = batch(sizes)
        more = [views_of(part, seed=20 + of) for of, part in enumerate(parts)]
        before = [sum(sizes[:of]) for of in range(world)]
        image = torch.cat([v.image + first for (_, v), first in zip(more, before, strict=True)])
        everything = Views(image, torch.cat([v.weight for _, v in more]))
        mine = slice(*shard_bounds(LABELS, rank, world))
        for make, options in HEADS.values():
            one, head = single(make(), **options), shard(rank, world, make(), **options)
            whole, *entries = joined(parts)
            whole = torch.cat((whole, *(z for z, _ in more))).requires_grad_()
            want = one(whole, *entries, everything)
            want.sum().backward()
            z, *own = parts[rank]
            here = torch.cat((z, more[rank][0])).requires_grad_()
            losses = head(here, *own, more[rank][1])
            losses.sum().backward()
            torch.testing.assert_close(losses, want, rtol=0, atol=1e-10)
            assert whole.grad is not None
            assert here.grad is not None
            images, rest = whole.grad[: sum(sizes)], whole.grad[sum(sizes) :]
            part = (
                images.split(sizes)[rank],
                rest.split([len(z) for z, _ in more])[rank],
            )
            torch.testing.assert_close(here.grad / world, torch.cat(part), rtol=0, atol=1e-10)
            torch.testing.assert_close(
                dense(head.table), dense(one.table)[mine], rtol=0, atol=1e-10
            )


def check_views_of_some_ranks_only(rank, world):
    parts = batch(SIZES[:world])
    z, views = views_of(parts[rank], seed=1)
    head = shard(rank, world, Uniform(LABELS, 4))
    some = (torch.cat((parts[rank][0], z)), *parts[rank][1:], views)
    with pytest.raises(ConfigError, match="some ranks have views and others none"):
        head(*(parts[rank] if rank == 0 else some))


def check_large_logits(rank, world):
    parts = [(300 * z, *entries) for z, *entries in batch(SIZES[:world])]
    make, options = HEADS["with replacement"]
    assert compare(rank, world, parts, make, **options).item() > 100


def check_a_rank_without_images(rank, world):
    for empty in range(world):
        sizes = [0 if of == empty else size for of, size in enumerate(SIZES[:world])]
        for name in ("uniform", "in batch", "arcface"):
            make, options = HEADS[name]
            compare(rank, world, batch(sizes, seed=2), make, **options)


def check_a_rank_without_images_that_encodes_nothing(rank, world):
    parts = batch([0, *SIZES[1:world]])
    head = shard(rank, world, Uniform(LABELS, 4))
    z, *entries = parts[rank]
    z = z.clone().requires_grad_(rank > 0)
    head(z, *entries).backward()
    one = single(Uniform(LABELS, 4))
    whole, *rest = joined(parts)
    one(whole.requires_grad_(), *rest).backward()
    if rank:
        assert whole.grad is not None
        part = whole.grad.split([len(of[0]) for of in parts])[rank]
        torch.testing.assert_close(z.grad, world * part, rtol=0, atol=1e-10)
    mine = slice(*shard_bounds(LABELS, rank, world))
    torch.testing.assert_close(dense(head.table), dense(one.table)[mine], rtol=0, atol=1e-10)


def check_a_rank_without_positives(rank, world):
    # Of the last rank's labels only; in the batch there is then nothing of the others' at all.
    labels = range(*shard_bounds(LABELS, world - 1, world))
    parts = batch(SIZES[:world], seed=3, labels=labels)
    for name in ("uniform", "in batch", "mixed", "arcface"):
        make, options = HEADS[name]
        compare(rank, world, parts, make, **options)
    head = shard(rank, world, InBatch(FREQUENCY))
    head(*parts[rank]).backward()
    assert bool(head.table.touched.numel()) == (rank == world - 1)


def check_no_label_and_no_image(rank, world):
    none = torch.empty(0, dtype=torch.long)
    for size in (4, 0):
        parts = [(torch.randn(size, DIM, dtype=torch.float64), none, none, none.double())] * world
        for name in ("uniform", "in batch", "mixed"):
            make, options = HEADS[name]
            # Nor a NaN on the way back that something masks.
            with torch.autograd.set_detect_anomaly(True):
                assert compare(rank, world, parts, make, **options).item() == 0


def check_the_loss_is_the_same_on_all(rank, world):
    make, options = HEADS["log-uniform"]
    loss = shard(rank, world, make(), torch.float32, **options)(
        *batch(SIZES[:world], dtype=torch.float32)[rank]
    )
    found = [torch.empty_like(loss) for _ in range(world)]
    dist.all_gather(found, loss.detach())
    assert all(torch.equal(of, loss) for of in found)


class Model(nn.Module):
    """A small encoder and a head."""

    def __init__(self, head, dtype):
        super().__init__()
        torch.manual_seed(0)
        layers = nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, DIM)
        self.encoder, self.head = nn.Sequential(*layers).to(dtype), head

    def forward(self, x, row, index, weight):
        return self.head(self.encoder(x), row, index, weight)


def trained(model, head, batches):
    """The encoder's weights after some steps, and the labels'."""
    encoder = torch.optim.SGD(model.parameters(), lr=0.2)
    labels = RowwiseAdagrad([head.table], lr=0.05)
    for of in batches:
        model(*of).backward()
        encoder.step()
        labels.step()
        encoder.zero_grad()
        labels.zero_grad()
    return [p.detach() for p in model.parameters()], head.table


def check_fifty_steps_under_ddp(rank, world):
    # Cosines times 16 are left out in single precision: there the unsharded weights are after 50
    # steps as far from those of double precision as these are from either.
    double, float_ = (torch.float64, 1e-10), (torch.float32, 1e-6)
    for name, settings in {"in batch": double, "arcface": double, "log-uniform": float_}.items():
        (dtype, atol), (make, options) = settings, HEADS[name]
        # Sizes move on from rank to rank, and one of them is 0.
        sizes = [[(of + step) % 4 for of in range(world)] for step in range(50)]
        steps = [batch(of, seed, dtype=dtype, dim=8) for seed, of in enumerate(sizes)]
        one = single(make(), dtype, **options)
        want, table = trained(Model(one, dtype), one, map(joined, steps))
        head = shard(rank, world, make(), dtype, **options)
        model = Model(head, dtype)
        ignore_tables(model)
        ddp = DistributedDataParallel(model)
        found, part = trained(ddp, head, [of[rank] for of in steps])
        for a, b in zip(found, want, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=atol)
        mine = slice(*shard_bounds(LABELS, rank, world))
        torch.testing.assert_close(part.weight, table.weight[mine], rtol=0, atol=atol)
        torch.testing.assert_close(part.state, table.state[mine], rtol=0, atol=atol)
        start = LabelTable(LABELS, DIM, dtype=dtype, seed=1).weight
        assert (table.weight - start).abs().max() > 0.1


def check_autocast_computes_in_single_precision(rank, world):
    make, options = HEADS["cosface"]
    z, row, index, weight = batch(SIZES[:world], dtype=torch.float32)[rank]
    z = z.bfloat16()
    want = shard(rank, world, make(), torch.float32, **options)(z, row, index, weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        head = shard(rank, world, make(), torch.float32, **options)
        leaf = z.clone().requires_grad_()
        loss = head(leaf, row, index, weight)
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.equal(loss, want)
    assert leaf.grad is not None
    assert leaf.grad.dtype == torch.bfloat16


def check_evaluation_is_no_step(rank, world):
    make, options = HEADS["uniform"]
    head = shard(rank, world, make(), **options).eval()
    parts = batch(SIZES[:world])
    with torch.no_grad():
        losses = [head(*parts[rank]) for _ in range(2)]
    want = single(make(), **options)(*joined(parts))
    assert int(head.step) == 0
    assert torch.equal(*losses)
    torch.testing.assert_close(losses[0], want.detach(), rtol=0, atol=1e-10)


def check_top_labels(rank, world):
    for sizes in (SIZES[:world], [0, *SIZES[1:world]]):
        parts = batch(sizes)
        for name in ("uniform", "arcface"):
            make, options = HEADS[name]
            one, head = single(make(), **options), shard(rank, world, make(), **options)
            for k, block in ((1, 99), (4, 2), (LABELS, 1)):
                want = one.top_labels(parts[rank][0], k)
                logits, labels = head.top_labels(parts[rank][0], k, block)
                torch.testing.assert_close(logits, want[0], rtol=0, atol=1e-10)
                assert torch.equal(labels, want[1])
    with pytest.raises(ConfigError, match=r"k must be in 1\.\.10, got 11"):
        head.top_labels(parts[rank][0], LABELS + 1)


def check_an_embedding_of_no_number_is_an_error_of_all(rank, world):
    head = shard(rank, world, Uniform(LABELS, 4))
    z = torch.ones(SIZES[rank], DIM, dtype=torch.float64)
    if rank == 1:
        z[2, 0] = torch.nan
    with pytest.raises(DataError, match="NaN or infinity in 1 of 6 rows on rank 1, first in row 2"):
        head.top_labels(z, 2)


def check_an_error_of_one_rank_is_one_of_all(rank, world):
    head = shard(rank, world, Uniform(LABELS, 4))
    z, row, index, weight = batch(SIZES[:world])[rank]
    one, half = torch.ones(1, dtype=torch.long), torch.ones(1, dtype=torch.float64)
    wrong = [
        ("labels must be in", (z, 0 * one, LABELS * one, half)),
        ("labels must be in", (z, 0 * one, -one, half)),
        ("row must be in", (z, len(z) * one, one, half)),
        ("row must be in", (z, -one, one, half)),
        ("the table's D", (z[:, 1:], row, index, weight)),
        ("all \\[E\\]", (z, row, index[:0], weight)),
    ]
    for message, of in wrong:
        with pytest.raises(DataError, match=f"{message}.*not on rank 1"):
            head(*(of if rank == 1 else (z, row, index, weight)))
    assert int(head.step) == 0
    head.step += rank
    with pytest.raises(ConfigError, match=r"the ranks are at steps \[0, 1"):
        head(z, row, index, weight)


def check_settings(rank, world):
    with pytest.raises(ConfigError, match=f"1 labels for {world} ranks"):
        ShardedSoftmax(LabelTable(1, DIM), Uniform(1, 1))
    with pytest.raises(ConfigError, match=rf"rank {rank} of {world} owns .* its table has 10 from"):
        ShardedSoftmax(LabelTable(LABELS, DIM), Uniform(LABELS, 4))


CHECKS = {name[6:]: of for name, of in list(globals().items()) if name.startswith("check_")}


def run_checks(rank, world, folder):
    """What a rank's process does."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=world,
        timeout=datetime.timedelta(seconds=30),
    )
    failures = {}
    for name, check in CHECKS.items():
        try:
            check(rank, world)
            failures[name] = ""
        except BaseException:
            failures[name] = f"rank {rank}: {traceback.format_exc()}"
            break  # the others no longer know where this rank is
    (folder / f"{rank}.json").write_text(json.dumps(failures))
    dist.destroy_process_group()


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def ranks(request, tmp_path_factory):
    """What the checks said on each rank."""
    folder = tmp_path_factory.mktemp("ranks")
    with pytest.MonkeyPatch.context() as patch:
        # The processes import this file by its name, from the repository.
        patch.setattr(sys, "path", [str(Path(__file__).parents[3]), *sys.path])
        spawn(run_checks, (request.param, folder), nprocs=request.param)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(request.param)]


@pytest.mark.parametrize("check", CHECKS)
def test_ranks(ranks, check):
    said = [of.get(check, "an earlier check failed") for of in ranks]
    assert not any(said), "\n".join(said)


@pytest.mark.parametrize("name", HEADS)
def test_one_process_is_the_unsharded_head(name):
    make, options = HEADS[name]
    one, head = single(make(), **options), shard(0, 1, make(), **options)
    z, *entries = joined(batch(SIZES))
    for _ in range(3):
        a, b = z.clone().requires_grad_(), z.clone().requires_grad_()
        want, loss = one(a, *entries), head(b, *entries)
        want.backward()
        loss.backward()
        torch.testing.assert_close(loss, want, rtol=0, atol=1e-12)
        torch.testing.assert_close(b.grad, a.grad, rtol=0, atol=1e-12)
        torch.testing.assert_close(dense(head.table), dense(one.table), rtol=0, atol=1e-12)
    for found, want in zip(head.top_labels(z, 4), one.top_labels(z, 4), strict=True):
        assert torch.equal(found, want)


def test_uncorrected_is_partial_fc():
    table = LabelTable(LABELS, DIM, dtype=torch.float64, seed=1)
    want = PartialFC(table, 3, seed=6)(*joined(batch(SIZES)))
    make, options = HEADS["partial"]
    loss = shard(0, 1, make(), **options)(*joined(batch(SIZES)))
    torch.testing.assert_close(loss, want, rtol=0, atol=1e-12)


@given(st.integers(1, 64), st.integers(0, 10**9))
def test_shards_are_even_and_leave_no_label_out(ranks, more):
    labels = ranks + more
    bounds = [shard_bounds(labels, rank, ranks) for rank in range(ranks)]
    sizes = [end - begin for begin, end in bounds]
    assert [begin for begin, _ in bounds] == [0, *(end for _, end in bounds[:-1])]
    assert bounds[-1][1] == labels
    assert max(sizes) - min(sizes) <= 1 <= min(sizes)


@pytest.mark.parametrize(("labels", "rank", "size"), [(3, 0, 4), (0, 0, 1), (9, 4, 4), (9, -1, 4)])
def test_bounds_of_nothing_are_refused(labels, rank, size):
    with pytest.raises(ConfigError, match=r"labels for . ranks|rank must be in"):
        shard_bounds(labels, rank, size)


def test_smoothing_and_a_slice_without_ranks_are_refused():
    with pytest.raises(ConfigError, match="smoothing must lie in"):
        shard(0, 1, Uniform(LABELS, 4), smoothing=1.0)
    with pytest.raises(ConfigError, match="rank 0 of 1 owns 10 labels from 0 on"):
        shard(1, 2, Uniform(LABELS, 4))


def test_what_ddp_is_to_leave_alone():
    model = Model(shard(0, 1, Uniform(LABELS, 4)), torch.float64)
    model._ddp_params_and_buffers_to_ignore = ["mine"]  # type: ignore[assignment]
    ignore_tables(model)
    # The step is the same everywhere and may be copied.
    want = ["head.table.state", "head.table.weight", "mine"]
    assert model._ddp_params_and_buffers_to_ignore == want
    ignore_tables(model)
    assert model._ddp_params_and_buffers_to_ignore == want
    bare = copy.deepcopy(LabelTable(2, 2))
    ignore_tables(bare)
    assert bare._ddp_params_and_buffers_to_ignore == ["state", "weight"]
