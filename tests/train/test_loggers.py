"""Which loggers a run gets, and what is said of packages that are missing."""

import sys

import pytest

from graphrise.config import GraphConfig, WatchConfig
from graphrise.errors import ConfigError
from graphrise.graph.build import build_graph
from graphrise.train.loggers import check_loggers, run_loggers
from graphrise.train.run import train


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_logger_that_is_not_installed_names_its_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=rf"{name}.*pip install graphrise\[{name}\]"):
        check_loggers(WatchConfig(loggers=("csv", name)))
    assert check_loggers(WatchConfig(loggers=("csv",))) == []


def test_a_folder_of_the_same_name_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "wandb").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(ConfigError, match="wandb"):
        check_loggers(WatchConfig(loggers=("wandb",)))


def test_a_missing_logger_stops_before_the_folder_is_made(make, dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    graph = build_graph(dataset, dataset / "graph", GraphConfig())
    config = make.small_run(watch={"loggers": ("wandb",)})
    with pytest.raises(ConfigError, match="wandb"):
        train(dataset, graph, tmp_path / "r", config, display=make.silent)
    assert not (tmp_path / "r").exists()


def test_without_tensorboard_x_the_run_goes_on_and_says_so(make, dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    graph = build_graph(dataset, dataset / "graph", GraphConfig())
    result = train(dataset, graph, tmp_path / "r", make.small_run(), display=make.silent)
    assert any("pip install tensorboardX" in note for note in result.notes)
    assert (tmp_path / "r" / "metrics.csv").is_file()
    assert not (tmp_path / "r" / "tensorboard").exists()


def test_only_what_is_named_is_written(make, dataset, tmp_path):
    graph = build_graph(dataset, dataset / "graph", GraphConfig())
    for name, loggers in (("none", ()), ("csv", ("csv",))):
        config = make.small_run(watch={"loggers": loggers})
        train(dataset, graph, tmp_path / name, config, display=make.silent)
        found = {p.name for p in (tmp_path / name).iterdir()} & {"metrics.csv", "tensorboard"}
        assert found == ({"metrics.csv"} if loggers else set())


def test_loggers_say_where_they_write(make, tmp_path):
    pytest.importorskip("tensorboardX")
    csv, events = run_loggers(tmp_path / "r", make.small_run())
    assert (csv.save_dir, csv.name) == (str(tmp_path / "r"), "metrics.csv")
    assert (events.save_dir, events.name) == (str(tmp_path / "r"), "tensorboard")
    assert not (tmp_path / "r").exists()
