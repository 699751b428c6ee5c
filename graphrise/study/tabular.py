"""Cells of text as a table in Markdown and in LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "\N{PLUS-MINUS SIGN}": r"$\pm$", "\N{EN DASH}": "--", "<": r"$<$", ">": r"$>$",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table as text.

    Attributes:
        header: Of each column.
        rows: As many cells each.
        remarks: What a reader must know of it, a sentence or two each.
        baseline: Which row is the baseline; None: none of them.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    remarks: Sequence[str]
    baseline: int | None = None


def markdown(table: Table) -> str:
    """The table, its first column to the left; no remarks."""
    dashes = ["---"] + ["---:"] * (len(table.header) - 1)
    lines = [table.header, dashes, *table.rows]
    return "\n".join("| " + " | ".join(_markdown(c) for c in line) + " |" for line in lines)


def latex(table: Table) -> str:
    """A `tabular` for booktabs, remarks as comments above it."""
    comments = [f"% {line}" for text in table.remarks for line in text.splitlines()]
    return "\n".join(
        [
            *comments,
            r"\begin{tabular}{l" + "r" * (len(table.header) - 1) + "}",
            r"\toprule",
            _latex_line(table.header),
            r"\midrule",
            *(_latex_line(row) for row in table.rows),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _latex_line(texts: Sequence[str]) -> str:
    return " & ".join("".join(_LATEX.get(c, c) for c in text) for text in texts) + r" \\"


def _markdown(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
