"""The command line: verbs, exit codes, and one line for an error."""

import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
import yaml

from graphrise import __version__
from graphrise.cli import main
from graphrise.graph.store import open_graph
from graphrise.train import run as run_module
from graphrise.train.folder import read_run
from graphrise.train.module import GraphRise

SMALL = [
    "--images.size=16",
    "--encoder.name=test_resnet",
    "--encoder.dim=8",
    "--train.passes=24",
    "--train.batch_size=3",
    "--train.precision=32-true",
    "--train.accelerator=cpu",
    "--train.threads=1",
]


def exit_code(*argv):
    """What the shell would see."""
    with pytest.raises(SystemExit) as caught:
        main(list(map(str, argv)))
    return caught.value.code


def run(*argv):
    return main(list(map(str, argv)))


@pytest.fixture
def built(dataset):
    assert run("build-graph", dataset) == 0
    return dataset


def one_line(capsys):
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("graphrise: ")
    return lines[0]


def test_version_and_help(capsys):
    assert exit_code("--version") == 0
    assert capsys.readouterr().out.strip() == f"graphrise {__version__}"
    assert exit_code("--help") == 0
    text = capsys.readouterr().out
    for verb in ("demo", "build-graph", "graph-info", "train", "evaluate", "embed"):
        assert verb in text
        assert exit_code(verb, "--help") == 0
    assert "catalogue, digits, emoji" in " ".join(capsys.readouterr().out.split())


def test_settings_are_documented_in_help(capsys):
    assert exit_code("train", "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Weight of the edge term in the loss" in text
    assert exit_code("build-graph", "--help") == 0
    assert "Edges kept per node" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["fly"],
        ["build-graph"],
        ["build-graph", "d", "--graph.top_k", "many"],
        ["build-graph", "d", "--graph.weighting", "cosine"],
        ["train", "d", "r", "--train.learning_rate", "1"],
        ["train", "d", "r", "--nothing"],
        ["demo", "--data", "cats"],
    ],
)
def test_wrong_arguments(argv, capsys):
    assert exit_code(*argv) == 2
    assert "usage: graphrise" in capsys.readouterr().err


def test_build_graph(dataset, capsys):
    assert run("build-graph", dataset, "--graph.coclick.top_k=1", "--engine=duckdb") == 0
    out = capsys.readouterr().out
    assert "12 images" in out
    assert "labelled images: 3 (given), 12 (queries)" in out
    graph = open_graph(dataset / "graph", verify=True)
    assert graph.info["config"]["coclick"]["top_k"] == 1
    assert graph.info["config"]["engine"]["name"] == "duckdb"
    assert run("build-graph", dataset) == 1
    assert "give --overwrite" in one_line(capsys)
    assert run("build-graph", dataset, "--overwrite") == 0
    assert open_graph(dataset / "graph").info["config"]["coclick"]["top_k"] == 8
    assert run("build-graph", dataset, "--out", dataset.parent / "elsewhere") == 0
    assert open_graph(dataset.parent / "elsewhere").num_nodes == 12


def test_graph_info(dataset, tmp_path, capsys):
    graph = dataset / "graph"
    assert run("build-graph", dataset) == 0
    capsys.readouterr()
    files = tmp_path / "info.json", tmp_path / "degrees.png"
    assert run("graph-info", graph, "--json", files[0], "--plot", files[1]) == 0
    assert "Self-check: sound." in capsys.readouterr().out
    info = json.loads(files[0].read_text())
    assert (info["nodes"], info["problems"]) == (12, [])
    assert files[1].read_bytes().startswith(b"\x89PNG")
    assert run("graph-info", graph, "--plot", tmp_path / "degrees.txt") == 1
    assert "degrees.txt" in one_line(capsys)
    weight = graph / "weight.npy"
    weight.write_bytes(weight.read_bytes()[:-4] + b"\0\0\0\0")
    assert run("graph-info", graph) == 1
    assert "weight.npy: damaged (its checksum differs)" in one_line(capsys)


def test_warnings_of_the_graph_are_notes(dataset, capsys):
    log = dataset / "impressions.parquet"
    pq.write_table(pq.read_table(log).slice(0, 0), log)
    assert run("build-graph", dataset) == 0
    assert "note: the log is empty" in capsys.readouterr().out


def test_an_interrupted_run_goes_on(built, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "r"

    def interrupted(self):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(GraphRise, "configure_optimizers", interrupted)
    assert run("train", built, folder, *SMALL, "--probe=split=query") == 130
    assert "interrupted" in capsys.readouterr().err
    assert run("evaluate", folder) == 1
    assert f"go on with `graphrise train --resume {folder}`" in capsys.readouterr().err
    assert run("train", "--resume", folder) == 0
    assert "24 encoder passes" in capsys.readouterr().out
    assert "recall@1" in read_run(folder)[2].curve[-1]
    assert (folder / "best" / "encoder.safetensors").is_file()
    # A finished one is left as it is, and settings are the run's.
    assert run("train", f"--resume={folder}") == 0
    with pytest.raises(SystemExit):
        run("train", "--resume", folder, "--train.lr=1")
    assert "unrecognized arguments: --train.lr=1" in capsys.readouterr().err
    assert run("train", "--resume", tmp_path / "nothing") == 1
    assert "nothing: not a run folder" in capsys.readouterr().err


def cells(text):
    """What stands alone in a line, or between wide gaps."""
    return {cell.strip() for line in text.splitlines() for cell in line.split("  ")}


def test_train_evaluate_embed(built, tmp_path, capsys):
    folder = tmp_path / "r"
    options = ["--labels.spread=true", "--evaluate.group=group", "--probe=split=query"]
    assert run("train", built, folder, *SMALL, *options) == 0
    captured = capsys.readouterr()
    assert "note: labels spread over the graph: 3 -> 12 labelled images" in captured.out
    assert "24 encoder passes" in captured.out
    config, dataset, result = read_run(folder)
    assert dataset == built.resolve()
    assert (config.images.size, config.encoder.dim, config.train.passes) == (16, 8, 24)
    # What no option changed is the recipe's.
    assert config.train.lr == pytest.approx(2e-3)
    assert "recall@1" in result.curve[-1]
    assert run("evaluate", folder) == 0
    assert "recall@1" in capsys.readouterr().out
    assert json.loads((folder / "metrics.json").read_text())["gallery"] == "split=gallery"
    assert list((folder / "plots").glob("*.svg"))
    assert run("evaluate", folder, "--k", 1) == 0
    assert json.loads((folder / "metrics.json").read_text())["k"] == 1
    assert run("evaluate", folder, "--k", 0) == 1
    assert "evaluate.k must be at least 1" in capsys.readouterr().err
    assert run("evaluate", folder, "--gallery", "label=red", "--queries", "label=red") == 0
    found = json.loads((folder / "metrics.json").read_text())
    assert (found["gallery"], list(found["queries"])) == ("label=red", ["label=red"])
    capsys.readouterr()
    assert run("evaluate", folder, "--group", "label", "--clustering") == 0
    assert {"95 % interval", "nmi", "split=query, by group"} <= cells(capsys.readouterr().out)
    out = tmp_path / "v.parquet"
    assert run("embed", folder, built, out, "--where", "split=query") == 0
    assert pq.read_table(out).num_rows == 3
    capsys.readouterr()
    assert run("embed", folder, built, out) == 1
    assert "v.parquet: exists already" in one_line(capsys)
    assert run("train", built, folder, *SMALL) == 1
    assert "exists already; give --overwrite" in capsys.readouterr().err


def settings_of(monkeypatch, *argv):
    """The RunConfig that `train` would be called with."""
    seen = []

    def no_train(dataset, graph, folder, config, **_):
        seen.append(config)
        return run_module.RunResult(0, 0.0, 0.0, [], [])

    monkeypatch.setattr(run_module, "train", no_train)
    assert run("train", *argv) == 0
    return seen[0]


def test_options_override_yaml_overrides_recipe(built, tmp_path, monkeypatch):
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump({"train": {"lr": 0.5, "batch_size": 7}, "shuffle_graph": 3}))
    config = settings_of(
        monkeypatch, built, tmp_path / "r", "--recipe=digits", "--config", file,
        "--train.batch_size=9",
    )  # fmt: skip
    assert config.train.batch_size == 9
    assert config.train.lr == 0.5
    assert config.shuffle_graph == 3
    from graphrise.recipes import digits

    assert config.encoder == digits().encoder
    assert config.evaluate == digits().evaluate
    assert config.train.passes == digits().train.passes


def test_factors_of_kinds_from_yaml_and_options(built, tmp_path, monkeypatch):
    file = tmp_path / "settings.yaml"
    settings = {"alpha_by_kind": {"similar": 2, "knn": 0.25}, "adversarial": {"kind": "vat"}}
    file.write_text(yaml.safe_dump({"edges": settings}))
    config = settings_of(
        monkeypatch, built, tmp_path / "r", "--config", file, "--edges.alpha_by_kind.knn=3",
        "--edges.adversarial.size=0.5",
    )  # fmt: skip
    assert config.edges.alpha_by_kind == {"similar": 2.0, "knn": 3.0}
    assert (config.edges.adversarial.kind, config.edges.adversarial.size) == ("vat", 0.5)
    whole = '--edges.alpha_by_kind={"coclick": 0.5}'
    config = settings_of(monkeypatch, built, tmp_path / "r", whole)
    assert config.edges.alpha_by_kind == {"coclick": 0.5}


@pytest.mark.parametrize("name", ["catalogue", "digits", "emoji", "paper"])
def test_a_recipe_alone_is_the_recipe(built, tmp_path, monkeypatch, name):
    from graphrise.recipes import RECIPES

    assert settings_of(monkeypatch, built, tmp_path / "r", f"--recipe={name}") == RECIPES[name]()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe=pape"], "no recipe 'pape'; there are catalogue, digits, emoji, paper"),
        (["--edges.alpha=-1"], "edges.alpha must not be below 0"),
        (["--encoder.name=no_such_model"], "encoder 'no_such_model'"),
        (["--probe=split=nowhere"], "no image has split=nowhere"),
        (["--graph=nowhere"], "nowhere: not a graph folder"),
        (["--labels.source=queries", "--evaluate.label=x", "--probe=split=query"], "column 'x'"),
    ],
)
def test_an_error_is_one_line_and_exit_code_one(built, tmp_path, capsys, options, message):
    capsys.readouterr()
    assert run("train", built, tmp_path / "r", *SMALL, *options) == 1
    err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("graphrise: ")]
    assert len(err) == 1
    assert message in err[0]
    assert not (tmp_path / "r").exists()


def test_errors_of_every_verb(tmp_path, capsys):
    nowhere = tmp_path / "nowhere"
    for argv in (
        ["build-graph", nowhere],
        ["train", nowhere, tmp_path / "r"],
        ["evaluate", nowhere],
        ["embed", nowhere, nowhere, tmp_path / "v"],
        ["demo", "--seeds=0", "--out", tmp_path / "o"],
    ):
        assert run(*argv) == 1
        one_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c(monkeypatch, tmp_path, capsys):
    import graphrise.graph.build as build

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "build_graph", interrupted)
    assert run("build-graph", tmp_path) == 130
    assert one_line(capsys) == "graphrise: interrupted"


@pytest.mark.slow
def test_as_a_module(tmp_path):
    def shell(*argv):
        command = [sys.executable, "-m", "graphrise", *argv]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = shell("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"graphrise {__version__}")
    done = shell("build-graph", str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert done.stderr.startswith("graphrise: ")
    assert len(done.stderr.splitlines()) == 1
    assert shell("fly").returncode == 2
