"""A study's table as Markdown and LaTeX: the same cells, and what they can and cannot say."""

from __future__ import annotations

from collections.abc import Sequence

from graphrise.evaluate import format as fmt
from graphrise.study.stats import EXACT_UP_TO, Paired
from graphrise.study.summary import METRIC, Summary, SummaryRow

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "\N{PLUS-MINUS SIGN}": r"$\pm$", "\N{EN DASH}": "--", "<": r"$<$", ">": r"$>$",
}  # fmt: skip
_MISSING_SHOWN = 20


def header(summary: Summary) -> list[str]:
    """Column headers, in the order of `cells`."""
    validation = [] if summary.validation is None else [f"{summary.validation}, %"]
    against = ["difference, points", "95 % interval", "p, t-test", "p, sign flips"]
    return [
        "run",
        *validation,
        f"{summary.test} (test), %",
        *(against if summary.baseline is not None else []),
        "seeds",
        "encoder passes",
        "training time",
    ]


def cells(summary: Summary, row: SummaryRow) -> list[str]:
    """A row as text."""
    validation = [] if summary.validation is None else [fmt.percent(row.validation)]
    is_baseline = row.run == summary.baseline
    return [
        row.run + (" (baseline)" if is_baseline else ""),
        *validation,
        fmt.percent(row.test),
        *(_difference(row.difference) if summary.baseline is not None else []),
        str(row.seeds),
        fmt.count(row.passes),
        fmt.duration(row.seconds),
    ]


def _difference(found: Paired | None) -> list[str]:
    if found is None:
        return [fmt.NOTHING] * 4
    interval = fmt.NOTHING
    if found.low is not None and found.high is not None:
        interval = f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"
    return [f"{100 * found.mean:+.1f}", interval, chance(found.p_t), chance(found.p_sign)]


def chance(p: float | None) -> str:
    """A p-value: `0.25`, `0.031`, `<0.001`."""
    if p is None:
        return fmt.NOTHING
    return "<0.001" if p < 0.0005 else f"{p:.2f}" if p >= 0.1 else f"{p:.3f}"


def remarks(summary: Summary) -> list[str]:
    """What a reader must know of the table, a sentence or two each."""
    found = [f"{METRIC}, mean ± sd over seeds."]
    pairs = [row.difference for row in summary.rows if row.difference is not None]
    if pairs:
        found.append(
            f"Differences are on the test set, paired by seed with {summary.baseline!r}; the "
            "interval and the t-test take them as normal. The p-values are of each run by itself, "
            "not corrected for how many runs are compared."
        )
        fewest = min(pairs, key=lambda one: one.seeds)
        if fewest.seeds <= EXACT_UP_TO:
            found.append(_least(fewest))
    done = summary.planned - len(summary.missing)
    if summary.missing:
        found.append(f"{done} of {summary.planned} trainings are finished. Not in the table:")
        lines = [f"{name} ({why})" for name, why in summary.missing.items()]
        more = len(lines) - _MISSING_SHOWN
        found[-1] += " " + "; ".join(lines[:_MISSING_SHOWN])
        found[-1] += f"; and {more} more." if more > 0 else "."
    return found


def _least(pair: Paired) -> str:
    seeds = f"{pair.seeds} seed{'s' if pair.seeds > 1 else ''}"
    text = f"From {seeds} the sign-flip test cannot give less than p = {pair.least_p_sign:.3g}"
    if pair.least_p_sign > 0.05:
        text += ": at 0.05 it can call no difference significant, whatever its size"
    return text + "."


def to_markdown(summary: Summary) -> str:
    """The table under its title, remarks and the runs' notes below."""
    lines = [header(summary)]
    lines.append(["---"] + ["---:"] * (len(lines[0]) - 1))
    lines += [cells(summary, row) for row in summary.rows]
    table = "\n".join("| " + " | ".join(_markdown(c) for c in line) + " |" for line in lines)
    notes = [f"- {row.run}: {row.note}" for row in summary.rows if row.note]
    parts = [f"# Study {summary.name}", table, *remarks(summary)]
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])]) + "\n"


def to_latex(summary: Summary) -> str:
    """A `tabular` for booktabs, remarks as comments above it."""
    rows = [cells(summary, row) for row in summary.rows]
    comments = [f"% {line}" for text in remarks(summary) for line in text.splitlines()]
    first = header(summary)
    return "\n".join(
        [
            *comments,
            r"\begin{tabular}{l" + "r" * (len(first) - 1) + "}",
            r"\toprule",
            _latex_line(first),
            r"\midrule",
            *(_latex_line(row) for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _latex_line(texts: Sequence[str]) -> str:
    return " & ".join("".join(_LATEX.get(c, c) for c in text) for text in texts) + r" \\"


def _markdown(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
