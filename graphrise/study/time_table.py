"""The table of runs at the baseline's time: cells, and what they can and cannot say."""

from __future__ import annotations

from graphrise.evaluate import format as fmt
from graphrise.study.equal_time import EqualTime, TimedRow
from graphrise.study.summary import METRIC
from graphrise.study.table import closed, named
from graphrise.study.tabular import Table

EQUAL_UP_TO = 1.05
"""Of the baseline's time: a run that took no more is at equal time with all that it scored."""


def time_table(found: EqualTime) -> Table:
    """What each run cost beyond its training, and where it was when the baseline ended."""
    names = [row.run for row in found.rows]
    return Table(
        _header(found),
        [_cells(found, row) for row in found.rows],
        _remarks(found),
        names.index(str(found.references.baseline)),
    )


def _header(found: EqualTime) -> list[str]:
    """In the order of `_cells`."""
    probed = ["encoder passes by then", f"{found.validation} then, %"]
    return [
        "run",
        "before training",
        "time, x baseline",
        *(probed if found.validation is not None else []),
        *(["gap closed then, %"] if _has_gap(found) else []),
    ]


def _cells(found: EqualTime, row: TimedRow) -> list[str]:
    probed = [_passes(row), _validation(row)]
    return [
        named(row.run, found.references),
        fmt.NOTHING if row.setup is None else fmt.duration(row.setup),
        fmt.ratio(row.ratio),
        *(probed if found.validation is not None else []),
        *([closed(row.gap)] if _has_gap(found) else []),
    ]


def _has_gap(found: EqualTime) -> bool:
    return found.validation is not None and found.references.upper is not None


def _validation(row: TimedRow) -> str:
    """The score, and of how many seeds where some had not been probed yet."""
    if row.validation is None or row.probed == row.seeds:
        return fmt.percent(row.validation)
    return f"{fmt.percent(row.validation)} ({row.probed} of {row.seeds} seeds)"


def _passes(row: TimedRow) -> str:
    """How far the run was: `96.2K`, `110K (end)`, `105K (2 of 3 ended)`."""
    if row.passes is None:
        return fmt.NOTHING
    some = f"{row.ended} of {row.seeds} ended"
    how = "" if row.ended == 0 else f" ({'end' if row.ended == row.seeds else some})"
    return fmt.count(row.passes) + how


def _remarks(found: EqualTime) -> list[str]:
    name, time = found.references.baseline, fmt.duration(found.seconds)
    said = []
    if found.validation is not None:
        said.append(
            f"{METRIC} on the validation set when the time of {name!r} with the same seed, {time} "
            "on average, was over, interpolated between probes. A run that had ended by then "
            "counts with its end."
        )
    if _has_gap(found):
        said.append(
            "Gap closed then: the share of the validation gap between the references at that time, "
            "its 95 % interval as above; a dash where this gap is not above 0 beyond noise."
        )
    said.append(
        "The test set is not looked at during training. A run of at most "
        f"{EQUAL_UP_TO:g} x the baseline's time is at equal time with its scores above."
    )
    counted = (
        "Before training: its graph is built, once for all runs that share it but counted whole "
        "for each, and labels are spread over it; "
    )
    if found.with_setup:
        return [*said, counted + "the times here count it."]
    return [*said, counted + "not known of all runs, so that times here are of training alone."]
