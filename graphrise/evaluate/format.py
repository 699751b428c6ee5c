"""Numbers as a reader wants them: percent, counts and durations in a few characters."""

from __future__ import annotations

from graphrise.evaluate.spread import Spread

NOTHING = "\N{EN DASH}"
"""Stands where there is no value."""


def percent(value: Spread | None) -> str:
    """A share as percent, with its standard deviation if there is one: `46.2 ± 0.5`."""
    if value is None:
        return NOTHING
    if value.sd is None:
        return f"{100 * value.mean:.1f}"
    return f"{100 * value.mean:.1f} \N{PLUS-MINUS SIGN} {100 * value.sd:.1f}"


def ratio(value: float | None) -> str:
    """`1.62x`, or a dash."""
    return NOTHING if value is None else f"{value:.2f}x"


def count(value: float) -> str:
    """`940`, `12K`, `12.4K`, `3.1M`, `2.6G`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        # 999,960 would round to "1000.0K".
        if value >= size * 0.99995:
            return f"{value / size:.1f}".removesuffix(".0") + letter
    return f"{value:.0f}"


def duration(seconds: float) -> str:
    """`0.4 s`, `47 s`, `12 min 5 s`, `3 h 2 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def statistic(value: int | float | str) -> str:
    """A graph statistic: whole numbers with thousands commas, others to four digits."""
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
