"""Embeddings of the past, so that a neighbour costs no encoder pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from graphrise.errors import ConfigError, DataError

_ROWS = 1 << 18
"""Rows read at a time."""


class EmbeddingBank(nn.Module):
    """A table with the latest embedding of every image and the step it is from.

    As the knowledge bank of CARLS (Lu et al., arXiv 2105.12849), from which the paper's authors
    take neighbours that are not in the batch: a neighbour's embedding is as old as the image's last
    encoding, and no gradient goes to it. In memory the table is part of the module's state, so a
    checkpoint holds it; memory-mapped it is a file, which goes on changing, so that a checkpoint
    needs a copy (`save`) beside the state.

    Attributes:
        table: `[N, D]`, float16 or float32.
        step: int32 `[N]`, when each row was written; -1 is never.
        mapped: Whether the table is in a file.
    """

    table: Tensor
    step: Tensor

    def __init__(
        self,
        num_nodes: int,
        dim: int,
        *,
        dtype: torch.dtype = torch.float16,
        file: Path | None = None,
    ) -> None:
        """Make an empty table.

        Args:
            num_nodes: N.
            dim: D.
            dtype: float16 (2 D bytes an image) or float32.
            file: Keep the table in this file, made anew; None: in memory, on the module's device.

        Raises:
            ConfigError: Another dtype.
        """
        super().__init__()
        if dtype not in (torch.float16, torch.float32):
            raise ConfigError(f"bank: dtype must be float16 or float32, got {dtype}")
        self.register_buffer("step", torch.full((num_nodes,), -1, dtype=torch.int32))
        self.mapped = file is not None
        if file is None:
            self.register_buffer("table", torch.zeros(num_nodes, dim, dtype=dtype))
            return
        kind = np.float16 if dtype == torch.float16 else np.float32
        shape = (num_nodes, dim)
        # Pages of a new file cost nothing until an embedding is written to them.
        mapped = np.lib.format.open_memmap(file, mode="w+", dtype=kind, shape=shape)
        self.table = torch.from_numpy(np.asarray(mapped))

    @torch.no_grad()
    def write(self, nodes: Tensor, z: Tensor, step: int) -> None:
        """Keep embeddings.

        Args:
            nodes: int64 `[B]`, distinct.
            z: `[B, D]`; gradients are not kept.
            step: Training step they are of, at least 0.
        """
        at = nodes.to(self.table.device)
        self.table[at] = z.detach().to(self.table.device, self.table.dtype)
        self.step[nodes.to(self.step.device)] = step

    @torch.no_grad()
    def read(self, nodes: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Embeddings and their age.

        Args:
            nodes: int64 `[B]`; may repeat.
            step: The present training step.

        Returns:
            float32 `[B, D]` on the device of `nodes`, without gradient, and int64 `[B]`: steps
            since each was written, -1 where none ever was (its embedding is 0).
        """
        z = self.table[nodes.to(self.table.device)].to(nodes.device, torch.float32)
        written = self.step[nodes.to(self.step.device)].long().to(nodes.device)
        return z, torch.where(written < 0, -1, step - written)

    def save(self, file: Path) -> None:
        """Write the table as a .npy file."""
        np.save(file, self.table.cpu().numpy())

    @torch.no_grad()
    def load(self, file: Path) -> None:
        """Put a saved table back.

        Raises:
            DataError: The file is missing, damaged, or of another shape or dtype.
        """
        try:
            found = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{file}: not a saved bank: {error}") from error
        want = self.table.cpu().numpy()
        if found.shape != want.shape or found.dtype != want.dtype:
            raise DataError(
                f"{file}: is {found.dtype} {list(found.shape)}, the bank is {want.dtype} "
                f"{list(want.shape)}"
            )
        for first in range(0, len(found), _ROWS):
            block = np.array(found[first : first + _ROWS])
            self.table[first : first + _ROWS] = torch.from_numpy(block).to(self.table.device)

    def filled(self) -> float:
        """Share of the images that have an embedding, 0 to 1."""
        return float((self.step >= 0).float().mean()) if self.step.numel() else 0.0
