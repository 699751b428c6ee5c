"""What the ranks of a run tell each other, so that many processes train as one would.

With one process every function gives back what it got.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch_geometric.data import Data

from graphrise.config import TrainConfig
from graphrise.errors import ConfigError
from graphrise.nn.heads.collectives import gather_rows, world

_OF_HEAD = ("label", "edge_label", "adversarial_label")


def devices_of(train: TrainConfig) -> tuple[int, int]:
    """Processes per machine, and machines: the settings, or what torchrun started.

    Raises:
        ConfigError: torchrun started another number than the settings ask for.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return train.devices, train.num_nodes
    local, ranks = (int(os.environ[name]) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
    found, asked = (local, ranks // local), (train.devices, train.num_nodes)
    if asked not in ((1, 1), found):
        raise ConfigError(
            f"torchrun started {found[0]} processes on each of {found[1]} machines, but "
            f"train.devices and train.num_nodes are {asked[0]} and {asked[1]}; leave them at 1"
        )
    return found


def ranks_of(train: TrainConfig) -> int:
    """Processes of a run, started or not."""
    devices, nodes = devices_of(train)
    return devices * nodes


@dataclass(frozen=True)
class StepCounts:
    """What a step is made of, on all ranks together.

    Attributes:
        seeds: Labelled images.
        others: Unlabelled images whose own edges count.
        passes: Images encoded.
        bad: Pictures that could not be read.
        mine: This rank's labelled images and others.
    """

    seeds: int
    others: int
    passes: int
    bad: int
    mine: tuple[int, int]

    def weighed(self, terms: Mapping[str, Tensor], *, sharded: bool) -> dict[str, Tensor]:
        """Loss terms whose mean over the ranks is that of one process.

        Ranks may have different numbers of images, and each term is a mean over its rank's.

        Args:
            terms: Scalars by name, of this rank.
            sharded: Whether the label terms are of all ranks already (`nn.ShardedSoftmax`).
        """
        ranks = world()[1]
        if ranks == 1:
            return dict(terms)
        seeds = self.mine[0] * ranks / max(self.seeds, 1)
        others = self.mine[1] * ranks / max(self.others, 1)
        factors = dict.fromkeys(_OF_HEAD, 1.0 if sharded else seeds) | {"edge_unlabelled": others}
        return {name: factors.get(name, seeds) * value for name, value in terms.items()}


def step_counts(batch: Data, further: int) -> StepCounts:
    """Count a step.

    Args:
        batch: This rank's (`loader.batch.TrainingLoader`).
        further: Encoder passes beside those of its images.
    """
    mine = int(batch.batch_size), int(batch.num_others)  # type: ignore[arg-type]
    bad = batch.bad_node.numel() if "bad_node" in batch else 0
    nodes = batch.n_id
    return StepCounts(*summed([*mine, nodes.numel() + further, bad], nodes.device), mine=mine)


def summed(numbers: Sequence[int], device: torch.device) -> list[int]:
    """Sum over the ranks of each number."""
    if world()[1] == 1:
        return list(numbers)
    total = torch.tensor(numbers, dtype=torch.long, device=device)
    dist.all_reduce(total)
    return total.tolist()


def joined(found: Mapping[int, Any]) -> dict[int, Any]:
    """The dicts of all ranks as one."""
    every: list[Any] = [dict(found)] * world()[1]
    if len(every) > 1:
        dist.all_gather_object(every, dict(found))
    return {key: value for one in every for key, value in one.items()}


def gathered(*rows: Tensor) -> list[Tensor]:
    """Rows of all ranks, in the order of ranks, of tensors with as many rows as each other."""
    ranks = world()[1]
    if ranks == 1:
        return list(rows)
    size = torch.tensor([len(rows[0])], device=rows[0].device)
    sizes = gather_rows(size, [1] * ranks).tolist()
    return [gather_rows(one, sizes) for one in rows]


def averaged(terms: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    """Mean over the ranks of loss terms, detached; what a rank lacks counts 0 there.

    Args:
        terms: Scalars by name.
        names: All that any rank may have.
    """
    ranks = world()[1]
    if ranks == 1:
        return {name: value.detach() for name, value in terms.items()}
    some = next(iter(terms.values()))
    values = [terms[name].detach() if name in terms else some.new_zeros(()) for name in names]
    there = [some.new_tensor(float(name in terms)) for name in names]
    both = torch.stack([*values, *there])
    dist.all_reduce(both)
    means, counts = both.view(2, -1)
    return {n: m / ranks for n, m, c in zip(names, means, counts.tolist(), strict=True) if c > 0}
