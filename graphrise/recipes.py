"""Recipes: functions that return a full run configuration."""

from __future__ import annotations

from collections.abc import Callable

from graphrise.config import (
    EdgeConfig,
    EncoderConfig,
    EvaluateConfig,
    HeadConfig,
    ImageConfig,
    LabelConfig,
    RunConfig,
    TrainConfig,
)


def catalogue() -> RunConfig:
    """An image catalogue with click logs: ResNet-50 at 224 px, 64-d, labels spread over the graph.

    No edge term unless asked, and then with neighbours from the bank: of the ways to bring them in
    the one that gained most (LOG.md). Pictures are read at 256 px, the short side that
    `graphrise pack` stores: nothing is resized.
    """
    return RunConfig(
        labels=LabelConfig(spread=True),
        edges=EdgeConfig(neighbors=4, embeddings="bank"),
        images=ImageConfig(crop_pct=0.875),
    )


def emoji() -> RunConfig:
    """The demo: a small ResNet (timm's test_resnet, 0.4M parameters), 32 px drawings seen at 48 px.

    Every setting was chosen on the validation vendor (facebook) and is shared by every model of the
    demo (LOG.md).
    """
    return RunConfig(
        labels=LabelConfig(spread_power=4.0),
        edges=EdgeConfig(alpha=1.0),
        images=ImageConfig(size=48, colour=0.2, scale=0.15, shift=0.08, rotate=8.0),
        encoder=EncoderConfig(name="test_resnet"),
        head=HeadConfig(scale=20.0),
        train=TrainConfig(epochs=None, passes=110_000, batch_size=64, lr=12e-3, threads=1),
        evaluate=EvaluateConfig(
            gallery="vendor=apple",
            queries=("vendor=google", "vendor=facebook", "vendor=fluent"),
            label="instance",
            group="subcategory",
        ),
    )


def digits() -> RunConfig:
    """Smoke test: scikit-learn's digits, seconds on a CPU core."""
    return RunConfig(
        images=ImageConfig(size=32, rotate=10.0),
        encoder=EncoderConfig(name="test_resnet"),
        edges=EdgeConfig(alpha=1.0),
        train=TrainConfig(epochs=None, passes=6_000, threads=1),
        evaluate=EvaluateConfig(
            gallery="split=gallery",
            queries=("split=val", "split=test"),
            label="instance",
            group="parity",
        ),
    )


RECIPES: dict[str, Callable[[], RunConfig]] = {
    "catalogue": catalogue,
    "emoji": emoji,
    "digits": digits,
}
