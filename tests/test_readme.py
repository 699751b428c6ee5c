"""What the README shows runs."""

import json
import re
import shlex
from pathlib import Path

import pytest

from graphrise.cli import main

VERBS = ["build-graph", "graph-info", "pack", "train", "evaluate", "embed"]
ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


CODE = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_label_head():
    _, code, _ = CODE
    names = {}
    exec(code.replace("40_000_000", "20_000"), names)
    assert names["loss"].isfinite()
    assert names["table"].touched.numel() >= 8192
    assert names["labels"].shape == (5, 3)


def test_the_kernels():
    _, _, code = CODE
    names = {}
    exec(code, names)
    assert names["mean"].shape == names["z"].shape
    assert names["z"].grad.isfinite().all()
    assert names["exact"].shape == (2,)


def test_the_library_example(dataset, monkeypatch):
    code, *_ = CODE
    monkeypatch.chdir(dataset.parent)
    names = {}
    exec(code.replace('"DATASET"', repr(dataset.name)), names)
    assert names["data"].validate()
    assert int(names["batch"].batch_size) > 0
    assert (names["soft"].counts > 0).sum() > (names["graph"].labels["given"].counts > 0).sum()


@pytest.mark.slow
def test_the_commands(dataset, tmp_path, monkeypatch):
    block = re.search(r"    pip install graphrise\n((?:    graphrise .*\n)+)", README)
    assert block
    commands = [line.split("#")[0].split() for line in block[1].splitlines()]
    assert [c[1] for c in commands] == VERBS
    monkeypatch.chdir(tmp_path)
    # The README's encoder would take minutes here.
    small = "--encoder.name=test_resnet --images.size=32 --train.passes=24 --train.batch_size=4"
    for command in commands:
        words = [w.replace("DATASET", str(dataset)) for w in command[1:]]
        extra = shlex.split(small) if words[0] == "train" else []
        assert main([*words, *extra]) == 0
    assert (tmp_path / "embeddings.parquet").is_file()


@pytest.mark.slow
def test_the_export(finished, tmp_path, monkeypatch):
    pytest.importorskip("onnxscript", reason="pip install graphrise[onnx]")
    import timm

    line = re.search(r"^    graphrise (export .*?) +#", README, re.MULTILINE)
    assert line
    monkeypatch.chdir(tmp_path)
    assert main([w.replace("RUN", str(finished[1])) for w in line[1].split()]) == 0
    (code,) = re.findall(r"`(timm.create_model\(\"local-dir.*?)`", README)
    assert eval(code, {"timm": timm}).num_classes == 8
    for name in re.findall(r"`(model\.\w+|README.md|config.json)`", README):
        assert (tmp_path / "encoder" / name).is_file()


def test_the_table_is_what_was_measured():
    text = (ROOT / "benchmarks" / "results" / "train-emoji-48px.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    fluent = {r["variant"]: r for r in rows if r["metric"] == "recall@1 vendor=fluent"}
    assert len(fluent) == 8
    for row in fluent.values():
        assert f"| {row['mean']:.1f} ± {row['sd']:.1f} |" in README
    ratio = fluent["spread labels"]["mean"] / fluent["cross-entropy"]["mean"]
    assert f"reach {ratio:.1f}x the recall" in README
