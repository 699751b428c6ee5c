"""A study's table: cells, and what they can and cannot say."""

from __future__ import annotations

from graphrise.evaluate import format as fmt
from graphrise.study.gap import Gap
from graphrise.study.plan import References
from graphrise.study.stats import EXACT_UP_TO, Paired
from graphrise.study.summary import METRIC, Summary, SummaryRow
from graphrise.study.tabular import Table

_MISSING_SHOWN = 20


def score_table(summary: Summary) -> Table:
    """Scores, differences to the baseline, and costs of all runs."""
    names = [row.run for row in summary.rows]
    baseline = summary.references.baseline
    return Table(
        _header(summary),
        [_cells(summary, row) for row in summary.rows],
        _remarks(summary),
        names.index(baseline) if baseline in names else None,
    )


def _header(summary: Summary) -> list[str]:
    """In the order of `_cells`."""
    validation = [] if summary.validation is None else [f"{summary.validation}, %"]
    against = ["difference, points", "95 % interval", "p, t-test", "p, sign flips"]
    references = summary.references
    return [
        "run",
        *validation,
        f"{summary.test} (test), %",
        *(against if references.baseline is not None else []),
        *(["gap closed, %"] if references.upper is not None else []),
        "seeds",
        "encoder passes",
        "training time",
    ]


def _cells(summary: Summary, row: SummaryRow) -> list[str]:
    validation = [] if summary.validation is None else [fmt.percent(row.validation)]
    references = summary.references
    return [
        named(row.run, references),
        *validation,
        fmt.percent(row.test),
        *(_difference(row.difference) if references.baseline is not None else []),
        *([closed(row.gap)] if references.upper is not None else []),
        str(row.seeds),
        fmt.count(row.passes),
        fmt.duration(row.seconds),
    ]


def named(run: str, references: References) -> str:
    """A run's name, and what it is to the others."""
    roles = {references.baseline: " (baseline)", references.upper: " (upper)"}
    return run + roles.get(run, "")


def _difference(found: Paired | None) -> list[str]:
    if found is None:
        return [fmt.NOTHING] * 4
    interval = fmt.NOTHING
    if found.low is not None and found.high is not None:
        interval = f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"
    return [f"{100 * found.mean:+.1f}", interval, chance(found.p_t), chance(found.p_sign)]


def closed(found: Gap | None) -> str:
    """Share of a gap as percent, its interval in brackets: `62 (41 to 95)`."""
    if found is None:
        return fmt.NOTHING
    if found.low is None or found.high is None:
        return f"{round(100 * found.closed)}"
    return f"{round(100 * found.closed)} ({round(100 * found.low)} to {round(100 * found.high)})"


def chance(p: float | None) -> str:
    """A p-value: `0.25`, `0.031`, `<0.001`."""
    if p is None:
        return fmt.NOTHING
    return "<0.001" if p < 0.0005 else f"{p:.2f}" if p >= 0.1 else f"{p:.3f}"


def _remarks(summary: Summary) -> list[str]:
    found = [f"{METRIC}, mean ± sd over seeds."]
    pairs = [row.difference for row in summary.rows if row.difference is not None]
    if pairs:
        found.append(
            "Differences are on the test set, paired by seed with "
            f"{summary.references.baseline!r}; the interval and the t-test take them as normal. "
            "The p-values are of each run by itself, not corrected for how many runs are compared."
        )
        fewest = min(pairs, key=lambda one: one.seeds)
        if fewest.seeds <= EXACT_UP_TO:
            found.append(_least(fewest))
    if summary.references.upper is not None:
        found.append(_gap(summary))
    done = summary.planned - len(summary.missing)
    if summary.missing:
        found.append(f"{done} of {summary.planned} trainings are finished. Not in the table:")
        lines = [f"{name} ({why})" for name, why in summary.missing.items()]
        more = len(lines) - _MISSING_SHOWN
        found[-1] += " " + "; ".join(lines[:_MISSING_SHOWN])
        found[-1] += f"; and {more} more." if more > 0 else "."
    return found


def _least(pair: Paired) -> str:
    text = f"From {_seeds(pair.seeds)} the sign-flip test cannot give less than p = "
    text += f"{pair.least_p_sign:.3g}"
    if pair.least_p_sign > 0.05:
        text += ": at 0.05 it can call no difference significant, whatever its size"
    return text + "."


def _gap(summary: Summary) -> str:
    references = summary.references
    ends = f"{references.baseline!r} to {references.upper!r}"
    whole = next((r.difference for r in summary.rows if r.run == references.upper), None)
    if whole is None:
        return f"Of the gap from {ends} nothing can be said: they have no finished seed in common."
    if not exists(whole):
        return (
            f"The gap from {ends} is not above 0 beyond the noise of {_seeds(whole.seeds)}: no "
            "share of it is given."
        )
    text = (
        f"Gap closed: the share of the test gap from {ends} ({100 * whole.mean:.1f} points), by "
        "means over the seeds that all three finished; in brackets its 95 % interval by Fieller's "
        "method for a ratio of paired means, which takes the differences as normal"
    )
    return text + (f" and is wide from {_seeds(whole.seeds)}." if whole.seeds <= 5 else ".")


def exists(gap: Paired) -> bool:
    """Whether a gap is above 0 beyond noise, as `gap.gap_closed` wants it."""
    return gap.seeds > 1 and gap.mean > 0 and (gap.low is None or gap.low > 0)


def _seeds(number: int) -> str:
    return f"{number} seed{'s' if number > 1 else ''}"
