"""What the README shows runs."""

import csv
import re
import shlex
import statistics
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from graphrise.cli import main
from graphrise.study.gap import gap_closed
from graphrise.study.stats import paired

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


ROWS = {
    "cross-entropy on given labels": ("labels", "cross-entropy"),
    "+ edge term (the paper's)": ("neighbours", "pairs"),
    "+ edge term to a bank": ("neighbours", "bank"),
    "the same on shuffled edges": ("neighbours", "bank, shuffled edges"),
    "clicked queries as labels": ("labels", "queries"),
    "the same, rare queries": ("labels", "queries, idf-weighted"),
    "**labels spread over": ("labels", "spread"),
    "labels spread over a shuffled": ("labels", "spread, shuffled graph"),
    "all three vendors labelled": ("labels", "all labelled"),
}
"""Rows of the first table, and the study and run that each is of."""


def scores(study):
    """Values by run, query set and metric, in the order of seeds."""
    file = ROOT / "benchmarks" / "results" / f"study-{study}" / "runs.parquet"
    found = {}
    for row in sorted(pq.read_table(file).to_pylist(), key=lambda row: row["seed"]):
        name = row["run"], row["query_set"].removeprefix("vendor="), row["metric"]
        found.setdefault(name, []).append(row["value"])
    return found


def cell(values):
    shown = [100 * value for value in values]
    return f"{statistics.mean(shown):.1f} ± {statistics.stdev(shown):.1f}"


def times(study):
    """Mean training time by run, over cross-entropy's."""
    file = ROOT / "benchmarks" / "results" / f"study-{study}" / "cost.parquet"
    found = {}
    for row in pq.read_table(file).to_pylist():
        found.setdefault(row["run"], []).append(row["seconds"])
    base = statistics.mean(found["cross-entropy"])
    return {run: statistics.mean(of) / base for run, of in found.items()}


def test_the_table_is_what_the_studies_measured():
    found = {study: scores(study) for study in ("labels", "neighbours")}
    base, upper = (
        found["labels"][name, "fluent", "recall@1"] for name in ("cross-entropy", "all labelled")
    )
    for title, (study, run) in ROWS.items():
        of = found[study]
        (line,) = [line for line in README.splitlines() if line.startswith(f"| {title}")]
        _, _, fluent, closed, facebook, triplets, time, _ = map(str.strip, line.split("|"))
        assert fluent == cell(of[run, "fluent", "recall@1"])
        assert facebook == cell(of[run, "facebook", "recall@1"])
        assert triplets == cell(of[run, "fluent", "triplets"])
        assert time == f"{times(study)[run]:.2f}x"
        gap = gap_closed(of[run, "fluent", "recall@1"], base, upper)
        assert gap is not None
        assert gap.low is not None
        assert gap.high is not None
        interval = f" ({100 * gap.low:.0f} to {100 * gap.high:.0f})"
        assert closed == f"{100 * gap.closed:.0f}" + (interval if gap.closed not in (0, 1) else "")
    spread = found["labels"]["spread", "fluent", "recall@1"]
    assert f"That is {sum(spread) / sum(base):.1f}x" in README
    assert f"p = {paired(spread, base).p_t:.3f}, uncorrected" in README
    ratios = [times(study)["spread"] for study in ("labels", "neighbours", "noise", "spread")]
    assert f"({min(ratios):.2f} to {max(ratios):.2f} times cross-entropy's" in README


PEERS = {
    "cross-entropy (ours)": ("cross-entropy", "spread labels"),
    "the same, heaviest label of each image": ("", "spread labels, top label"),
    "MultiSimilarity, heaviest label": ("MultiSimilarity", "MultiSimilarity, spread labels"),
    "SupCon, heaviest label": ("SupCon", "SupCon, spread labels"),
    "ArcFace, heaviest label": ("ArcFace", "ArcFace, spread labels"),
    "Proxy-Anchor": ("Proxy-Anchor", ""),
    "Partial FC style, 30 % of the labels a step (ours)": ("Partial FC style, r 0.3 (ours)", ""),
}


def test_peers_are_as_measured():
    with (ROOT / "benchmarks/results/peers.csv").open(encoding="utf-8") as file:
        rows = {(row["variant"], row["metric"]): row for row in csv.DictReader(file)}

    def recall(name):
        if not name:
            return ""
        row = rows[name, "recall@1 vendor=fluent"]
        return f"{float(row['mean']):.1f} ± {float(row['sd']):.1f}"

    lines = [line.strip("| ").split("|") for line in README.splitlines() if line.startswith("|")]
    shown = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}
    for line, (given, spread) in PEERS.items():
        control = f"{spread}, shuffled graph" if spread else ""
        rate = float(rows[spread or given, "training throughput"]["ratio"])
        want = [recall(given), recall(spread), recall(control), f"{rate:.2f}x"]
        assert shown[line] == want, line
    assert f"(ours) has {recall('NSL style (ours)')}" in README


def test_the_noise_is_as_measured():
    of = {
        run: values
        for (run, where, metric), values in scores("noise").items()
        if (where, metric) == ("fluent", "recall@1") and run != "cross-entropy"
    }
    wrong = [cell(values) for run, values in of.items() if run.endswith(" of images wrong")]
    controls = sorted(statistics.mean(v) for run, v in of.items() if "shuffled" in run)
    clicks = sorted(
        statistics.mean(v)
        for run, v in of.items()
        if "images wrong" not in run and "shuffled" not in run
    )
    assert (len(wrong), len(controls), len(clicks)) == (3, 8, 8)
    said = f"{100 * clicks[0]:.1f} to {100 * clicks[-1]:.1f}, controls"
    assert f"{said} {100 * controls[0]:.1f} to {100 * controls[-1]:.1f}" in README
    assert "{}, {} and {}".format(*wrong) in README


@pytest.mark.parametrize("share", ["1/2", "1/4", "1/8"])
def test_fewer_labels_are_as_measured(share):
    of = scores("labels")
    plain, spread = (of[f"{share} labelled{end}", "fluent", "recall@1"] for end in ("", ", spread"))
    text = " ".join(README.split())
    assert re.search(rf"{re.escape(cell(spread))} \({re.escape(cell(plain))}( without)?\)", text)


def test_scales_are_as_measured():
    of = scores("scale")
    fluent = {run: values for (run, *what), values in of.items() if what == ["fluent", "recall@1"]}
    best = []
    for labels in ("cross-entropy", "spread", "all labelled"):
        runs = [run for run in fluent if run.startswith(labels) and "shuffled" not in run]
        best.append(max(runs, key=lambda run: statistics.mean(of[run, "facebook", "recall@1"])))
    assert [run.split()[-1] for run in best] == ["8", "20", "20"]
    given, spread, every = (fluent[run] for run in best)
    control = cell(fluent[f"{best[1]}, shuffled graph"])
    text = " ".join(README.split())
    said = f"{cell(given)}, {cell(spread)} (shuffled: {control}) and {cell(every)}"
    assert said in text
    low, high = statistics.mean(given), statistics.mean(every)
    closed = (statistics.mean(spread) - low) / (high - low)
    assert f"{statistics.mean(spread) / low:.1f}x the baseline's recall instead of" in text
    assert f"and {100 * closed:.0f} % of the gap instead of" in text
