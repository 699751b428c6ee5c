"""Recipes: functions that return a full run configuration."""

from __future__ import annotations

from collections.abc import Callable

from graphrise.config import (
    EdgeConfig,
    EncoderConfig,
    EvaluateConfig,
    HeadConfig,
    ImageConfig,
    RunConfig,
    TrainConfig,
)


def catalogue() -> RunConfig:
    """An image catalogue with click logs: ResNet-50 at 224 px, 64-d, no edge term unless asked."""
    return RunConfig()


def emoji() -> RunConfig:
    """The demo: a small ResNet for 32 px drawings, minutes on a CPU core."""
    return RunConfig(
        images=ImageConfig(size=32),
        encoder=EncoderConfig(
            name="resnet18",
            kwargs={"channels": (32, 64, 128, 256), "stem_width": 32, "layers": (1, 1, 1, 1)},
        ),
        edges=EdgeConfig(alpha=1.0),
        head=HeadConfig(scale=16.0),
        train=TrainConfig(epochs=None, passes=112_000, threads=1),
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
