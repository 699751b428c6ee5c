"""From run to folder: what it holds, and every way in which it is not written."""

import shutil
import sys

import pytest
import torch

import graphrise.export.run
from graphrise.cli import main
from graphrise.errors import DataError, GraphriseError
from graphrise.export import export_run
from graphrise.nn import Encoder
from graphrise.nn.encoder import load_encoder


def test_the_folder(exported, finished):
    out, result = exported
    wanted = ["README.md", "config.json", "model.onnx", "model.pt2", "model.safetensors"]
    assert sorted(p.name for p in out.iterdir()) == result.files == wanted
    assert all(0 <= found <= 1e-4 for found in result.differences.values())
    x = torch.randn(2, 3, 16, 16)
    run, _ = load_encoder(finished[1])
    with torch.inference_mode():
        torch.testing.assert_close(Encoder.from_pretrained(out)(x), run(x), rtol=0, atol=0)


def test_the_card_says_where_it_comes_from(exported, finished):
    text = (exported[0] / "README.md").read_text(encoding="utf-8")
    dataset, run = finished
    assert f"| run | {run.name} |" in text
    assert f"| data set | {dataset.name} |" in text
    assert "spread over the graph" in text
    assert "alpha 0.5" in text
    assert str(run.parent) not in text


def test_the_command(finished, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["export", str(finished[1]), str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: README.md, config.json, model.safetensors\n"
    assert main(["export", str(finished[1]), str(out)]) == 1
    assert f"{out}: exists already; give --overwrite" in capsys.readouterr().err
    (out / "more.txt").write_text("of the user's")
    assert main(["export", str(finished[1]), str(out), "--overwrite"]) == 0
    assert not (out / "more.txt").exists()


def test_the_best_encoder_of_a_run(finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished[1], run)
    (run / "best").mkdir()
    for name in ("encoder.json", "encoder.safetensors"):
        shutil.copy(run / name, run / "best" / name)
    (run / "best" / "best.json").write_text("{}")
    export_run(run / "best", tmp_path / "out")
    assert "run, its best encoder by the probe" in (tmp_path / "out" / "README.md").read_text()


def test_a_folder_of_something_else_is_kept(finished, tmp_path):
    (tmp_path / "config.json").write_text('{"architecture": "resnet18"}')
    with pytest.raises(DataError, match="not an exported encoder, so it is not overwritten"):
        export_run(finished[1], tmp_path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


def test_an_unfinished_run(finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished[1], run)
    (run / "run.json").unlink()
    with pytest.raises(DataError, match="did not finish"):
        export_run(run, tmp_path / "out")
    with pytest.raises(DataError, match="not a run folder"):
        export_run(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["onnx", "onnxscript"])
def test_a_missing_package(finished, tmp_path, monkeypatch, name, capsys):
    monkeypatch.setitem(sys.modules, name, None)
    assert main(["export", str(finished[1]), str(tmp_path / "out"), "--onnx"]) == 1
    error = capsys.readouterr().err
    assert f"--onnx needs {name}: pip install graphrise[onnx]" in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("failure", [KeyboardInterrupt, GraphriseError, OSError])
def test_nothing_is_left_half_written(finished, tmp_path, monkeypatch, failure):
    export_run(finished[1], tmp_path / "out")
    before = (tmp_path / "out" / "model.safetensors").stat().st_ino

    def interrupted(encoder, folder, origin, exported):
        (folder / "model.safetensors").write_bytes(b"half")
        raise failure

    monkeypatch.setattr(graphrise.export.run, "publish", interrupted)
    with pytest.raises(failure):
        export_run(finished[1], tmp_path / "out", overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "model.safetensors").stat().st_ino == before
