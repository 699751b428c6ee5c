"""Triplets in the evaluation of a run: by level, and of a file."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphrise.cli import main
from graphrise.config import EvaluateConfig
from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.embed import embed
from graphrise.evaluate.embedded import Embedded
from graphrise.evaluate.run import evaluate_run
from graphrise.evaluate.score import score
from graphrise.evaluate.triplets import triplet_accuracy
from graphrise.evaluate.triplets_score import judge_levels
from graphrise.images.dataset import open_images
from graphrise.images.reader import ImageReader
from graphrise.nn.encoder import load_encoder
from graphrise.train.folder import read_run

ROWS = [("red-1", "red-2", "blue-1"), ("blue-0", "blue-4", "green-2"), ("red-1", "red-0", "red-4")]


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run that a test may write into."""
    folder = tmp_path / "run"
    folder.mkdir()
    for file in finished[1].iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture
def file(tmp_path):
    columns = dict(zip(("anchor", "positive", "negative"), zip(*ROWS, strict=True), strict=True))
    pq.write_table(pa.table(columns), tmp_path / "rated.parquet")
    return tmp_path / "rated.parquet"


def test_levels_by_hand():
    # An embedding that knows the category (first axis) and nothing else.
    instance = np.arange(8)
    levels = [instance, instance // 2, instance // 4]
    vectors = np.eye(2, dtype=np.float32)[levels[2]]
    sides = (vectors, levels), (vectors, levels)
    metrics, missing = judge_levels(*sides, ("subcategory", "category"), per_query=50)
    assert metrics == {
        "triplets subcategory": 0.0,
        "triplets category": 0.0,
        "triplets other": 1.0,
    }
    assert set(missing.values()) == {0}
    # One that tells subcategories, but no instances of them.
    vectors = np.eye(4, dtype=np.float32)[levels[1]]
    sides = (vectors, levels), (vectors, levels)
    metrics, _ = judge_levels(*sides, ("subcategory", "category"), per_query=50)
    assert list(metrics.values()) == [0.0, 1.0, 1.0]


def test_a_level_without_triplets_is_a_count():
    vectors = np.eye(3, dtype=np.float32)
    one = np.zeros(3, dtype=np.int64)
    both = Embedded(vectors, np.arange(3), one, (one,))
    config = EvaluateConfig(levels=("all",))
    found = score(both, both, config)
    assert found.metrics["triplets all"] == 1
    assert "triplets other" not in found.metrics
    assert found.counts["queries without a triplet (all)"] == 0
    assert found.counts["queries without a triplet (other)"] == 3
    # What was scored without levels is scored as before.
    plain = score(both, both, EvaluateConfig())
    assert plain.metrics == {k: v for k, v in found.metrics.items() if k != "triplets all"}
    assert plain.margin_curve == found.margin_curve


def test_a_file_is_judged_on_all_its_images(run, finished, file):
    config = dataclasses.replace(read_run(run)[0].evaluate, triplets=str(file))
    report = evaluate_run(run, None, config)
    found = json.loads((run / "metrics.json").read_text())
    assert found["triplets"] == str(file)
    assert "triplets" not in found["queries"]["split=query"]["metrics"]
    assert found["queries"]["triplets"]["counts"] == {"triplets": 3}
    images, store = open_images(finished[0])
    encoder, shown = load_encoder(run)
    vectors = embed(encoder, ImageReader(store, np.arange(len(images)), shown.size))
    rows = np.array([[images.ids.index(i) for i in triplet] for triplet in ROWS]).T
    want = triplet_accuracy(*(vectors[r] for r in rows))
    assert found["queries"]["triplets"]["metrics"]["triplets"] == pytest.approx(want)
    curve = report.models[0].runs[0].margin_curve
    assert curve is not None
    assert curve.recall[0] == pytest.approx(want)
    page = (run / "report.html").read_text()
    assert "rated.parquet" in page
    assert (run / "plots" / "triplet-margin.svg").is_file()


def test_options_of_the_command(run, file, capsys):
    assert main(["evaluate", str(run), "--triplets", str(file), "--levels", "group"]) == 0
    assert "triplets" in capsys.readouterr().out
    found = json.loads((run / "metrics.json").read_text())["queries"]
    assert set(found) == {"split=query", "triplets"}
    assert 0 <= found["split=query"]["metrics"]["triplets group"] <= 1
    assert found["split=query"]["counts"]["queries without a triplet (other)"] == 3
    assert main(["evaluate", str(run), "--triplets", "nowhere.parquet"]) == 1
    assert "nowhere.parquet: no such triplets file" in capsys.readouterr().err


def test_what_is_wrong_is_told(run):
    config = read_run(run)[0].evaluate
    with pytest.raises(DataError, match="column 'class' is missing"):
        evaluate_run(run, None, dataclasses.replace(config, levels=("class",)))
    for values in ({"levels": ("a", "a")}, {"levels": ("label",)}):
        with pytest.raises(ConfigError, match=r"evaluate\.levels names a column twice"):
            dataclasses.replace(config, **values)
    with pytest.raises(ConfigError, match=r"evaluate\.triplets is empty"):
        dataclasses.replace(config, triplets="")
