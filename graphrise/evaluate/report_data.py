"""What a report is made of: plain frozen data, filled by a driver, read by tables and pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from graphrise.errors import DataError
from graphrise.evaluate.details import Detail
from graphrise.evaluate.triplets import MarginCurve


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One trained (or frozen) encoder and what it scored."""

    seed: int
    encoder_passes: int
    """Images that went through the encoder in training, neighbours included; 0 if untrained."""
    seconds: float
    """Wall time of training."""
    metrics: Mapping[str, Mapping[str, float]]
    """Query set -> metric -> share in 0..1."""
    curve: Sequence[Mapping[str, float]] = ()
    """Points of training: `passes`, and any of `loss` (mean per step) and validation metrics."""
    margin_curve: MarginCurve | None = None
    """Triplet recall against the margin, on the test set."""
    details: Mapping[str, Detail] = field(default_factory=dict)
    """Query set -> intervals, hubs and groups; shown where the report has this run alone."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """One way of training, run with one or more seeds."""

    name: str
    """Unique in a report."""
    runs: Sequence[RunResult]
    """One a seed, at least one."""
    description: str = ""
    """One line: what sets it apart."""


@dataclass(frozen=True, kw_only=True)
class QuerySet:
    """A set of query images that was scored."""

    name: str
    note: str = ""
    """What a reader must know, such as "its images are in the graph: transductive"."""
    held_out: bool = True
    """False if its images were in the log, the graph or any choice of settings."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Noun -> number, read as "1,540 queries scored; 10 queries left out; 4 triplets skipped"."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that one page shows; checked when it is made.

    Raises:
        DataError: A name does not exist or stands twice, a model has no run, the runs of a model
            scored different metrics, a score is not finite, or the main metric is missing.
    """

    title: str
    intro: str
    """A few sentences; blank lines part paragraphs."""
    models: Sequence[Model]
    query_sets: Sequence[QuerySet]
    test_set: str
    """The query set that the headline and the figures speak of."""
    main_metric: str
    """The metric that models are compared by, such as `recall@1`."""
    baseline: str | None = None
    """Name of the model that the ratios are against."""
    featured: str | None = None
    """Name of the model the headline is about, the last one if None; choose it before the test
    scores are read."""
    curve_set: str = ""
    """The query set whose metric the runs' curves hold."""
    graph_statistics: Mapping[str, int | float | str] = field(default_factory=dict)
    degree_counts: Sequence[int] = ()
    """Nodes of degree 0, 1, 2, ..."""
    retrieval_grid: bytes | None = None
    """PNG from `graphrise.evaluate.grid.retrieval_grid`."""
    retrieval_note: str = ""
    """How the shown queries were chosen."""
    command: str = ""
    """The exact command that made the report."""
    versions: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    """Anything JSON can hold."""

    def __post_init__(self) -> None:
        names = [model.name for model in self.models]
        sets = [query_set.name for query_set in self.query_sets]
        for kind, given in (("model", names), ("query set", sets)):
            if not given:
                raise DataError(f"the report has no {kind}")
            if len(set(given)) < len(given):
                raise DataError(f"the report has two {kind}s of one name: {given}")
        for role in ("baseline", "featured"):
            name = getattr(self, role)
            if name is not None and name not in names:
                raise DataError(f"{role} is {name!r}, the models are {names}")
        if self.test_set not in sets:
            raise DataError(f"test_set is {self.test_set!r}, the query sets are {sets}")
        for model in self.models:
            _check_runs(model, self.test_set, self.main_metric)

    @property
    def featured_model(self) -> Model:
        """The model the headline is about."""
        return self.model(self.featured) if self.featured else self.models[-1]

    def model(self, name: str) -> Model:
        """The model of that name."""
        return next(model for model in self.models if model.name == name)

    def query_set(self, name: str) -> QuerySet:
        """The query set of that name."""
        return next(query_set for query_set in self.query_sets if query_set.name == name)


def _check_runs(model: Model, test_set: str, main_metric: str) -> None:
    if not model.runs:
        raise DataError(f"model {model.name!r} has no run")
    shapes = [{name: set(scores) for name, scores in run.metrics.items()} for run in model.runs]
    if any(shape != shapes[0] for shape in shapes):
        raise DataError(f"the runs of model {model.name!r} did not score the same metrics")
    for run in model.runs:
        for name, scores in run.metrics.items():
            for metric, value in scores.items():
                if not math.isfinite(value):
                    raise DataError(
                        f"{model.name!r}, seed {run.seed}: {metric} on {name} is {value}"
                    )
    if main_metric not in shapes[0].get(test_set, set()):
        raise DataError(f"model {model.name!r} has no {main_metric} on query set {test_set!r}")
