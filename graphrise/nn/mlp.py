"""An encoder's backbone over features: linear layers with batch normalisation."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from graphrise.config.base import require


class MLP(nn.Module):
    """Blocks of linear layer, batch normalisation, ReLU and dropout, as in OGB's baselines.

    Batch normalisation of the input comes first: features are standardised by their columns' mean
    and deviation in the batch, and later by running values of these, which are saved with the
    weights.

    Attributes:
        num_features: Width of the output, `hidden`.
        default_cfg: Of timm's models; empty.
    """

    default_cfg: dict[str, Any] = {}  # noqa: RUF012 (timm's name for it)

    def __init__(
        self, features: int, hidden: int = 256, layers: int = 3, dropout: float = 0.5
    ) -> None:
        """Build the blocks.

        Args:
            features: Width of the input.
            hidden: Width of every block.
            layers: Blocks.
            dropout: Share of a block's outputs that are dropped in training, in [0, 1).

        Raises:
            ConfigError: One of them is out of range.
        """
        super().__init__()
        for name, value in (("features", features), ("hidden", hidden), ("layers", layers)):
            whole = isinstance(value, int) and value >= 1
            require(whole, f"encoder.kwargs {name} must be a whole number from 1, got {value!r}")
        fits = isinstance(dropout, int | float) and 0 <= dropout < 1
        require(fits, f"encoder.kwargs dropout must lie in [0, 1), got {dropout!r}")
        self.num_features = hidden
        self.norm = nn.BatchNorm1d(features)
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    # Batch normalisation takes a bias away again.
                    nn.Linear(hidden if at else features, hidden, bias=False),
                    nn.BatchNorm1d(hidden),
                    nn.ReLU(),
                    nn.Dropout(dropout),
                )
                for at in range(layers)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features float `[B, features]` to float `[B, hidden]`."""
        return self.blocks(self.norm(x))
