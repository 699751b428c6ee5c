"""Clipped and skipped steps with a label table over several ranks: on all the same ones.

The ranks are started once for each number of them, run all checks below in the same order, and
write down what failed; each check is a test that reads what the ranks wrote.
"""

import datetime
import json
import sys
import traceback
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from graphrise.errors import ConfigError
from graphrise.nn import LabelTable, RowwiseAdagrad, SampledSoftmax, ShardedSoftmax, Together
from graphrise.nn.clip import clip_grad_norm_
from graphrise.nn.heads import InBatch, Uniform, ignore_tables, shard_bounds
from graphrise.nn.heads.shard_rows import shard_rows

LABELS, DIM, IN = 11, 5, 8
"""Two and four ranks own different numbers of labels."""
LARGEST = 0.9
NEGATIVES = {
    # Labels of the batch only, so that a slice may have no rows in a step; and all labels.
    "in batch": lambda: InBatch(torch.arange(LABELS, 0, -1.0)),
    "all": lambda: Uniform(LABELS, LABELS),
}


def batch(sizes, seed=0, labels=range(LABELS)):
    """For each rank (x, row, index, weight): one or two labels an image, shares that sum to 1."""
    generator = torch.Generator().manual_seed(seed)
    pool, parts = torch.tensor(list(labels)), []
    for size in sizes:
        two = torch.randint(0, 2, (size,), generator=generator).bool() & (len(pool) > 1)
        row = torch.cat((torch.arange(size), two.nonzero().ravel()))
        place = torch.randint(0, len(pool), (size,), generator=generator)
        place = torch.cat((place, (place[two] + 1) % len(pool)))
        weight = torch.where(two[row], 0.5, 1.0).double()
        x = torch.randn(size, IN, generator=generator, dtype=torch.float64)
        parts.append((x, row, pool[place], weight))
    return parts


def joined(parts):
    """The batch of one process: rows of every rank's images after those of the ranks before."""
    x, row, index, weight = zip(*parts, strict=True)
    before = [sum(map(len, x[:rank])) for rank in range(len(x))]
    row = [of + offset for of, offset in zip(row, before, strict=True)]
    return tuple(torch.cat(of) for of in (x, row, index, weight))


class Model(nn.Module):
    """A small encoder and a head; embeddings can be moved, which leaves their gradient."""

    def __init__(self, head):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(IN, 16), nn.Tanh(), nn.Linear(16, DIM)).double()
        self.head = head

    def forward(self, x, row, index, weight, far=0.0):
        shift = far * torch.eye(DIM, dtype=x.dtype)[0]
        return self.head(self.encoder(x) + shift, row, index, weight)


def dense(table):
    grad = torch.zeros(table.num_labels, table.dim, dtype=table.state.dtype)
    return grad.index_copy(0, table.touched, table.gradient.grad)


def gathered(x):
    """What every rank has."""
    found = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(found, x.detach().contiguous())
    return found


def check_a_gradient_is_finite_on_all_or_none(rank, world):
    huge = 0.75 * torch.finfo(torch.float64).max
    for wrong in range(world):
        rows = torch.tensor([[2, 1], [], [0], [1, 2]][(rank - wrong) % world], dtype=torch.long)
        plain = torch.zeros(3, 2, dtype=torch.float64).index_fill(0, rows, 1)
        # The last two are finite, only their sum is not.
        for values in ((torch.inf,), (torch.nan,), (1.0, -torch.inf), (huge, huge)):
            table = LabelTable(3, 2, dtype=torch.float64)
            for number, value in enumerate(values, 1):
                found = shard_rows(table, rows, table.weight.device)
                (found * (value if rank == wrong else 1.0)).sum().backward()
                assert bool(dense(table).isfinite().all()) == (number < len(values))
            if rank != wrong:
                want = len(values) * plain
                want[0] = torch.inf
                assert torch.equal(dense(table), want)
                assert table.touched.tolist() == sorted({0, *rows.tolist()})
            for set_to_none in (True, False):
                torch.optim.SGD([table.gradient]).zero_grad(set_to_none=set_to_none)
                shard_rows(table, rows, table.weight.device).sum().backward()
                assert torch.equal(dense(table), plain)


def scaled(model, head, batches, clip, too_far=-1, labels=range(0)):
    """What each step under a gradient scaler leaves; "finite": the encoder's gradients;
    "wrong": labels whose gradient is not.

    In step `too_far` the gradients of `labels`, and of none else, are too large for their dtype.
    """
    encoder = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    both = Together(encoder, RowwiseAdagrad([head.table], lr=0.05))
    scaler, seen = torch.amp.GradScaler("cpu", init_scale=2.0**16), []
    for number, of in enumerate(batches):
        far = number == too_far
        if far:
            # The others' logits are so low that they have no share in the softmax.
            names = torch.arange(head.table.num_labels) + head.table.first
            head.table.weight[:, 0] = -1.0
            head.table.weight[(names >= labels.start) & (names < labels.stop), 0] = 0.0
        both.zero_grad()
        scaler.scale(model(*of, 1e306 if far else 0.0)).backward()
        scaler.unscale_(both)
        finite = all(bool(p.grad.isfinite().all()) for p in model.parameters())
        wrong = dense(head.table).isfinite().all(1).logical_not().nonzero() + head.table.first
        norm = clip(model, head.table)
        scaler.step(both)
        scaler.update()
        seen.append(
            {
                "scale": scaler.get_scale(),
                "norm": norm,
                "encoder": [p.detach().clone() for p in model.parameters()],
                "weight": head.table.weight.clone(),
                "state": head.table.state.clone(),
                "finite": finite,
                "wrong": wrong.ravel().tolist(),
            }
        )
    return seen


def one_clips(model, table):
    return nn.utils.clip_grad_norm_([*model.parameters(), table.gradient], LARGEST)


def all_clip(model, table):
    return clip_grad_norm_(model.parameters(), [table], LARGEST)


def steps_of_both(rank, world, negatives, steps, **options):
    """What `scaled` saw with the sharded and with the unsharded head, which must be the same."""
    one = SampledSoftmax(LabelTable(LABELS, DIM, dtype=torch.float64, seed=1), negatives())
    want = scaled(Model(one), one, map(joined, steps), one_clips, **options)
    begin, end = shard_bounds(LABELS, rank, world)
    table = LabelTable(end - begin, DIM, dtype=torch.float64, seed=1, first=begin)
    head = ShardedSoftmax(table, negatives())
    model = Model(head)
    ignore_tables(model)
    ddp = DistributedDataParallel(model)
    found = scaled(ddp, head, [of[rank] for of in steps], all_clip, **options)
    for mine, of_one in zip(found, want, strict=True):
        assert mine["scale"] == of_one["scale"]
        for a, b in zip(mine["encoder"], of_one["encoder"], strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
            assert all(torch.equal(other, a) for other in gathered(a))
        norm = mine["norm"]
        torch.testing.assert_close(norm, of_one["norm"], rtol=0, atol=1e-10, equal_nan=True)
        of_all = [other.nan_to_num(-1.0) for other in gathered(norm)]
        assert all(torch.equal(other, of_all[rank]) for other in of_all)
        assert mine["finite"] == of_one["finite"]
        for name in ("weight", "state"):
            torch.testing.assert_close(mine[name], of_one[name][begin:end], rtol=0, atol=1e-10)
    return found, want


def check_clipped_steps_under_ddp(rank, world):
    for negatives in NEGATIVES.values():
        # Sizes move on from rank to rank, and one of them is 0.
        sizes = [[(of + step) % 4 for of in range(world)] for step in range(8)]
        steps = [batch(of, seed) for seed, of in enumerate(sizes)]
        found, _ = steps_of_both(rank, world, negatives, steps)
        norms = [float(of["norm"]) for of in found]
        assert min(norms) < LARGEST < max(norms)


def check_the_factor_is_the_same_whatever_a_rank_has(rank, world):
    # No gradient at all, no rows, single precision: of one rank each.
    kind = (rank + 1) % world
    parameter = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    parameter.grad = torch.tensor([3.0, 0.0], dtype=torch.float64)
    table = LabelTable(4, 2, dtype=torch.float64 if kind else torch.float32)
    if kind != 1:
        rows = torch.arange(0 if kind == 2 else 2)
        table.add_gradient(rows, torch.ones(len(rows), 2, dtype=table.state.dtype))
    want = (9.0 + (8.0 if world == 4 else 4.0)) ** 0.5
    norm = clip_grad_norm_([parameter], [table], 1.0)
    assert norm.dtype == torch.float64
    assert float(norm) == pytest.approx(want, rel=1e-15)
    torch.testing.assert_close(parameter.grad[0], 3 / (norm + 1e-6), rtol=1e-14, atol=0)
    if kind == 1:
        assert table.gradient.grad is None
    elif kind != 2:
        factor = float(1 / (norm + 1e-6))
        assert table.gradient.grad is not None
        assert table.gradient.grad.unique().tolist() == pytest.approx([factor], rel=1e-7)


def check_without_tables_nobody_is_asked(rank, world):
    if rank:
        return
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3.0, 4.0])
    assert clip_grad_norm_([parameter], [], 1.0) == 5


def check_a_step_is_skipped_on_all_ranks(rank, world):
    sizes = [*(3, 6, 4)[: world - 1], 0]
    begin = shard_bounds(LABELS, rank, world)[0]
    for owner in range(world):
        labels = range(*shard_bounds(LABELS, owner, world))
        for negatives in NEGATIVES.values():
            steps = [batch(sizes, seed) for seed in range(3)]
            steps[1] = batch(sizes, 9, labels)
            found, want = steps_of_both(rank, world, negatives, steps, too_far=1, labels=labels)
            assert [of["scale"] for of in found] == [2.0**16, 2.0**15, 2.0**15]
            wrong = want[1]["wrong"]
            assert wrong
            assert set(wrong) <= set(labels)
            assert found[1]["wrong"] == (wrong if rank == owner else [begin])
            assert found[1]["finite"]
            before, skipped, after = found
            for a, b, c in zip(*(of["encoder"] for of in found), strict=True):
                assert torch.equal(a, b)
                assert not torch.equal(b, c)
            assert torch.equal(before["weight"][:, 1:], skipped["weight"][:, 1:])
            assert torch.equal(before["state"], skipped["state"])
            assert not torch.equal(skipped["state"], after["state"])


def check_a_broken_image_of_one_rank_is_skipped_on_all(rank, world):
    # Rank 0 has it; all labels are the last rank's, so that the other slices have no rows.
    labels = range(*shard_bounds(LABELS, world - 1, world))
    steps = [batch((3, 6, 1, 4)[:world], seed, labels) for seed in range(3)]
    steps[1][0][0][2, 5] = torch.nan
    found, _ = steps_of_both(rank, world, NEGATIVES["in batch"], steps)
    assert [of["scale"] for of in found] == [2.0**16, 2.0**15, 2.0**15]
    assert [of["finite"] for of in found] == [True, False, True]
    assert [bool(of["wrong"]) for of in found] == [False, True, False]
    for a, b, c in zip(*(of["encoder"] for of in found), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(b, c)


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
        patch.setattr(sys, "path", [str(Path(__file__).parents[2]), *sys.path])
        spawn(run_checks, (request.param, folder), nprocs=request.param)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(request.param)]


@pytest.mark.parametrize("check", CHECKS)
def test_ranks(ranks, check):
    said = [of.get(check, "an earlier check failed") for of in ranks]
    assert not any(said), "\n".join(said)


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def with_gradients(dtype, seed=0):
    """Parameters, one of them without a gradient, and tables, of which the last has none."""
    parameters = [nn.Parameter(torch.zeros(3, 2, dtype=dtype)) for _ in range(3)]
    for number, parameter in enumerate(parameters[:2]):
        # Not contiguous.
        parameter.grad = drawn(2, 3, seed=seed + number).to(dtype).T
    tables = [LabelTable(6, 4, dtype=dtype) for _ in range(3)]
    tables[0].add_gradient(torch.tensor([4, 1, 4]), drawn(3, 4, seed=seed + 7).to(dtype))
    tables[1].add_gradient(torch.empty(0, dtype=torch.long), torch.empty(0, 4, dtype=dtype))
    return parameters, tables


def gradients(parameters, tables):
    every = [*parameters, *(table.gradient for table in tables)]
    return [p.grad for p in every if p.grad is not None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("limit", [0.01, 1.0, 1e6])
def test_one_process_clips_by_the_norm_of_everything(dtype, limit):
    parameters, tables = with_gradients(dtype)
    truth = [of.double() for of in gradients(*with_gradients(dtype))]
    plain = gradients(*with_gradients(dtype))
    other = [nn.Parameter(of) for of in plain]
    for parameter, of in zip(other, plain, strict=True):
        parameter.grad = of.clone()
    torch_norm = nn.utils.clip_grad_norm_(other, limit)
    want = torch.cat([of.ravel() for of in truth]).norm()
    norm = clip_grad_norm_(iter(parameters), iter(tables), limit)
    assert norm.shape == ()
    assert (norm - want).abs() <= (torch_norm - want).abs() + 1e-15
    factor = min(1.0, limit / (float(want) + 1e-6))
    for found, of, theirs in zip(gradients(parameters, tables), truth, other, strict=True):
        assert theirs.grad is not None
        error = (theirs.grad - factor * of).abs()
        assert ((found - factor * of).abs() <= error + 1e-15).all()
    assert [t.gradient.grad is None for t in tables] == [False, False, True]
    assert parameters[2].grad is None


def test_parameters_or_tables_may_be_none():
    parameters, tables = with_gradients(torch.float64)
    want = [
        torch.cat([of.ravel() for of in gradients(*part)]).norm()
        for part in ((parameters, []), ([], tables))
    ]
    torch.testing.assert_close(clip_grad_norm_(parameters, [], 0.1), want[0])
    torch.testing.assert_close(clip_grad_norm_([], tables, 0.1), want[1])
    for part in ((parameters, []), ([], tables)):
        norm = torch.cat([of.ravel() for of in gradients(*part)]).norm()
        assert 0.0999 < float(norm) <= 0.1
    assert clip_grad_norm_([], [], 0.1) == 0


def test_infinities_are_told():
    parameters, tables = with_gradients(torch.float64)
    assert tables[0].gradient.grad is not None
    tables[0].gradient.grad[0, 0] = torch.inf
    assert clip_grad_norm_(parameters, tables, 1.0) == torch.inf


def test_a_gradient_that_would_count_twice_is_refused():
    parameters, tables = with_gradients(torch.float64)
    for wrong in ([*parameters, tables[0].gradient], [*parameters, parameters[0]]):
        with pytest.raises(ConfigError, match="leave them out of `parameters`"):
            clip_grad_norm_(wrong, tables, 1.0)
    for found, want in zip(
        gradients(parameters, tables), gradients(*with_gradients(torch.float64)), strict=True
    ):
        assert torch.equal(found, want)
