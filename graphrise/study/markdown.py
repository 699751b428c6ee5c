"""A study's tables as one Markdown text."""

from __future__ import annotations

from graphrise.study.summary import Summary
from graphrise.study.tabular import Table, markdown


def to_markdown(summary: Summary, scores: Table, times: Table | None) -> str:
    """Both tables, the remarks on each below it, and the runs' notes.

    Args:
        summary: What the tables are of.
        scores: Its `table.score_table`.
        times: At the baseline's time; None without one.
    """
    notes = [f"- {row.run}: {row.note}" for row in summary.rows if row.note]
    parts = [f"# Study {summary.name}", markdown(scores), *scores.remarks]
    if times is not None:
        parts += ["## At the baseline's time", markdown(times), *times.remarks]
    if notes:
        parts += [*(["## Runs"] if times is not None else []), "\n".join(notes)]
    return "\n\n".join(parts) + "\n"
