"""From a run's settings to the loggers that Lightning writes its figures with."""

from __future__ import annotations

import importlib.util
import json
import os
import uuid
from pathlib import Path

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from graphrise.config import RunConfig, WatchConfig, to_dict
from graphrise.errors import ConfigError, GraphriseError
from graphrise.train.event_file import EventFile
from graphrise.train.folder import write_json
from graphrise.train.metrics_file import MetricsFile

_IDS = "loggers.json"


def check_loggers(watch: WatchConfig) -> list[str]:
    """Refuse a logger whose package is missing, before anything is written.

    TensorBoard is on by default, and its figures are in metrics.csv as well: without tensorboardX,
    which comes with graphrise, the run goes on.

    Returns:
        What a user should know.

    Raises:
        ConfigError: wandb or mlflow is named and not installed.
    """
    for name in ("wandb", "mlflow"):
        if name in watch.loggers and not _installed(name):
            raise ConfigError(
                f"watch.loggers names {name}, which is not installed: pip install graphrise[{name}]"
            )
    if "tensorboard" in watch.loggers and not _installed("tensorboardX"):
        return ["no TensorBoard files: pip install tensorboardX, or leave it out of watch.loggers"]
    return []


def run_loggers(run: Path, config: RunConfig) -> list[Logger]:
    """The loggers of a run; files are written once training starts.

    A run that goes on adds to the W&B or MLflow run that it began, whose name is kept in
    `loggers.json`. W&B leaves out steps that it has seen already, MLflow keeps both values.

    Args:
        run: The run folder.
        config: The run; W&B and MLflow get its settings.

    Raises:
        GraphriseError: W&B or MLflow refuses.
    """
    names, loggers = config.watch.loggers, list[Logger]()
    if "csv" in names:
        loggers.append(MetricsFile(run / "metrics.csv"))
    if "tensorboard" in names and _installed("tensorboardX"):
        loggers.append(EventFile(run / "tensorboard"))
    for name, make in (("wandb", _wandb), ("mlflow", _mlflow)):
        if name not in names:
            continue
        try:
            loggers.append(make(run, config))
        except Exception as error:  # each has errors of its own: no login, no server, ...
            raise GraphriseError(f"watch.loggers: {name} starts no run: {error}") from error
    return loggers


def _installed(name: str) -> bool:
    # W&B keeps its files in a folder `wandb`, which without the package imports as an empty one.
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None


def _wandb(run: Path, config: RunConfig) -> Logger:
    from lightning.pytorch.loggers import WandbLogger

    class OneRun(WandbLogger):
        """Ends the W&B run with ours: the next one of this process is another."""

        @rank_zero_only
        def finalize(self, status: str) -> None:
            super().finalize(status)
            self.experiment.finish(exit_code=int(status != "success"))

    name = _ids(run).get("wandb", uuid.uuid4().hex[:8])
    project = os.environ.get("WANDB_PROJECT", "graphrise")
    logger = OneRun(name=run.name, save_dir=run, id=name, project=project)
    logger.log_hyperparams(to_dict(config))
    _keep(run, "wandb", name)
    return logger


def _mlflow(run: Path, config: RunConfig) -> Logger:
    import mlflow  # pyright: ignore[reportMissingImports]
    from lightning.pytorch.loggers import MLFlowLogger

    logger = MLFlowLogger(
        experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", "graphrise"),
        run_name=run.name,
        # Of MLFLOW_TRACKING_URI, or what MLflow has by itself; Lightning's is a folder, which
        # MLflow 3 refuses.
        tracking_uri=mlflow.get_tracking_uri(),
        run_id=_ids(run).get("mlflow"),
    )
    logger.log_hyperparams(to_dict(config))
    _keep(run, "mlflow", logger.run_id)
    return logger


def _ids(run: Path) -> dict[str, str]:
    file = run / _IDS
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


@rank_zero_only
def _keep(run: Path, logger: str, name: str | None) -> None:
    write_json(run / _IDS, {**_ids(run), logger: name})
