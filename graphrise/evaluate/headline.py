"""The first sentence of a report, made from its numbers and no kinder than they are."""

from __future__ import annotations

from dataclasses import dataclass

from graphrise.evaluate import format as fmt
from graphrise.evaluate.report_data import Report
from graphrise.evaluate.spread import Spread
from graphrise.evaluate.table import SummaryRow, summary_rows

_ENOUGH_SEEDS = 3
_SAME_COST = 1.05


@dataclass(frozen=True)
class Headline:
    """What was found, and how far it can be trusted."""

    sentence: str
    remarks: tuple[str, ...]


def headline(report: Report) -> Headline:
    """Sets the featured model against the baseline: main metric, test set, mean over seeds.

    Without a baseline, or with no other model to compare, the sentence states the score alone.
    Remarks tell of fewer than 3 seeds, of seeds that overlap, of a higher cost and of a test set
    that was not held out.
    """
    rows = {row.model: row for row in summary_rows(report)[report.test_set]}
    name = report.featured_model.name
    ours = rows[name]
    base = rows[report.baseline] if report.baseline else None
    if base is None or base is ours:
        score = _score(ours.metrics[report.main_metric])
        sentence = f"{name}: {report.main_metric} {score} on {report.test_set}."
        return Headline(sentence, tuple(_remarks(report, ours, None)))
    return Headline(_comparison(report, ours, base), tuple(_remarks(report, ours, base)))


def _comparison(report: Report, ours: SummaryRow, base: SummaryRow) -> str:
    metric, where = report.main_metric, report.test_set
    mine, theirs = ours.metrics[metric], base.metrics[metric]
    numbers = f"{_score(mine)} against {_score(theirs)}"
    if ours.ratio is None:
        return f"{ours.model} reaches {metric} {numbers} of {base.model} on {where}."
    shown = fmt.ratio(ours.ratio)
    if shown == fmt.ratio(1):
        return f"{ours.model} is level with {base.model} in {metric} on {where}: {numbers}."
    if ours.ratio > 1:
        return f"{ours.model} reaches {shown} the {metric} of {base.model} on {where}: {numbers}."
    return (
        f"{ours.model} falls short of {base.model} on {where}: "
        f"{shown} its {metric}, {numbers}. No gain here."
    )


def _remarks(report: Report, ours: SummaryRow, base: SummaryRow | None) -> list[str]:
    said = []
    fewest = min(ours.seeds, base.seeds) if base else ours.seeds
    if base and fewest > 1 and _overlap(report, ours, base):
        said.append("Seeds of the two overlap: the difference may be chance.")
    if fewest < _ENOUGH_SEEDS:
        seeds = "One seed" if fewest == 1 else f"{fewest} seeds"
        said.append(f"{seeds} only: a hint, not yet a result.")
    elif base and not _overlap(report, ours, base):
        better = "above" if (ours.ratio or 2) > 1 else "below"
        said.append(f"Every seed of {ours.model} lies {better} every seed of {base.model}.")
    if base:
        said.append(_cost(ours, base))
    if not report.query_set(report.test_set).held_out:
        said.append(f"The images of {report.test_set} were not held out of training.")
    return said


def _cost(ours: SummaryRow, base: SummaryRow) -> str:
    if ours.passes_ratio is None or ours.seconds_ratio is None:
        spent = f"{fmt.count(ours.passes)} encoder passes and {fmt.duration(ours.seconds)}"
        return f"It took {spent} of training; {base.model} was not trained."
    cost = (
        f"It took {fmt.ratio(ours.passes_ratio)} the encoder passes and "
        f"{fmt.ratio(ours.seconds_ratio)} the training time of {base.model}"
    )
    if max(ours.passes_ratio, ours.seconds_ratio) > _SAME_COST:
        return f"{cost}, so part of the difference may be paid for by training longer."
    return f"{cost}."


def _overlap(report: Report, ours: SummaryRow, base: SummaryRow) -> bool:
    mine = ours.metrics[report.main_metric].values
    theirs = base.metrics[report.main_metric].values
    return min(mine) <= max(theirs) and min(theirs) <= max(mine)


def _score(value: Spread) -> str:
    return f"{fmt.percent(value)} %"
