"""Evaluation and embedding of a finished run."""

import dataclasses
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from graphrise.config import EvaluateConfig, ImageConfig
from graphrise.errors import DataError
from graphrise.evaluate.embed import embed, embed_dataset
from graphrise.evaluate.image_sets import ImageSets
from graphrise.evaluate.run import evaluate_run, mean_score, probe_of
from graphrise.evaluate.score import Score
from graphrise.images.dataset import open_images
from graphrise.images.reader import ImageReader
from graphrise.nn.encoder import load_encoder
from graphrise.train.folder import read_run


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run that a test may write into."""
    folder = tmp_path / "run"
    folder.mkdir()
    for file in finished[1].iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_writes_numbers_and_page(run):
    report = evaluate_run(run, None, None)
    found = json.loads((run / "metrics.json").read_text())
    assert found["gallery"] == "split=gallery"
    scored = found["queries"]["split=query"]
    assert scored["counts"]["queries scored"] == 3
    for name, value in scored["metrics"].items():
        assert 0 <= value <= 1, name
    assert {"recall@1", "knn@1", "triplets"} <= set(scored["metrics"])
    assert report.models[0].runs[0].metrics["split=query"] == scored["metrics"]
    assert report.models[0].runs[0].encoder_passes == read_run(run)[2].passes
    page = (run / "report.html").read_text()
    assert "graphrise: run" in page
    assert "recall@1" in page


def test_numbers_are_those_of_the_images(run, finished):
    """Recall@1 once more, from embeddings and plain loops."""
    dataset, _ = finished
    images, store = open_images(dataset)
    encoder, shown = load_encoder(run)
    rows = {s: images.select(f"split={s}") for s in ("gallery", "query")}
    vectors = {s: embed(encoder, ImageReader(store, r, shown.size)) for s, r in rows.items()}
    labels = images.column("label")
    hits = [
        labels[rows["gallery"][int((vectors["gallery"] @ v).argmax())]] == labels[row]
        for row, v in zip(rows["query"], vectors["query"], strict=True)
    ]
    metrics = evaluate_run(run, None, None).models[0].runs[0].metrics["split=query"]
    assert metrics["recall@1"] == pytest.approx(np.mean(hits))


def test_another_dataset_and_other_sets(run, make, tmp_path):
    rows = make.coloured_rows()
    # A colour whose gallery image is not there: its queries are left out, and counted.
    rows = [r for r in rows if r["image_id"] != "blue-0"]
    other = make.save_tables(tmp_path / "other", rows)
    report = evaluate_run(run, other, EvaluateConfig(group="group"))
    assert report.query_sets[0].counts["queries scored"] == 2
    assert report.query_sets[0].counts["queries left out"] == 1


def test_what_json_holds_beside_the_scores(run):
    evaluate_run(run, None, dataclasses.replace(read_run(run)[0].evaluate, clustering=True))
    found = json.loads((run / "metrics.json").read_text())
    scored = found["queries"]["split=query"]
    assert found["confidence_level"] == 0.95
    assert "mean" not in found
    assert {"ndcg@10", "graded ndcg@10", "mmp@5", "nmi", "ami"} <= set(scored["metrics"])
    for name, (low, high) in scored["intervals"].items():
        assert low <= scored["metrics"][name] <= high, name
    assert "recall@1" in scored["intervals"]
    assert scored["resampled instances"] == 3
    assert scored["hubs"]["k"] == 3
    (only,) = scored["recall@1 by group"]
    want = {"group": "colour", "recall@1": scored["metrics"]["recall@1"], "scored": 3}
    assert only == {**want, "left out": 0}
    page = (run / "report.html").read_text()
    assert f"<td>{100 * scored['metrics']['ndcg@10']:.1f}</td>" in page


def test_sets_must_not_overlap_in_part(run, finished):
    opened = open_images(finished[0])
    config = EvaluateConfig(queries=("label=red",))
    message = r"1 images are in both split=gallery .* and label=red, 1 of label=red are not"
    with pytest.raises(DataError, match=message):
        ImageSets(*opened, config, ImageConfig(size=16))
    # One set as both is a leave-one-out.
    own = EvaluateConfig(gallery="label=red", queries=("label=red",))
    encoder, shown = load_encoder(run)
    found = ImageSets(*opened, own, shown).scores(encoder)["label=red"]
    assert found.metrics["recall@1"] == 1
    assert (found.neighbours != np.arange(2)[:, None]).all()


@pytest.fixture
def domains(make, tmp_path):
    """Two sets that are in one index, and a third that asks from outside; no two pictures alike."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(24):
        domain = ("cars", "birds", "art")[number % 3]
        # Not told apart by colour alone: some answers are wrong.
        picture = make.noisy(rng.integers(0, 255, 3), number)
        index = None if domain == "art" and number < 12 else "test"
        label = f"{domain}-{number // 3 % 3}"
        kept = domain if index or domain != "art" else "art/queries"
        row = {"image_id": number, "image": picture, "split": "test", "label": label}
        rows.append({**row, "set": kept, "merged": index})
    return make.save_tables(tmp_path / "domains", rows), rows


def loop(run, folder, gallery, queries):
    """(recall@1, mMP@5) of a set by plain loops, each image left out of its own neighbours."""
    images, store = open_images(folder)
    encoder, shown = load_encoder(run)
    vectors = embed(encoder, ImageReader(store, np.arange(len(images)), shown.size))
    labels = images.column("label")
    there, asked = images.select(gallery).tolist(), images.select(queries).tolist()
    recall, precision = [], []
    for query in asked:
        others = [r for r in there if r != query]
        others.sort(key=lambda r: -float(vectors[r] @ vectors[query]))
        right = [labels[r] == labels[query] for r in others]
        if sum(right):
            recall.append(right[0])
            first = min(5, sum(right))
            precision.append(sum(right[:first]) / first)
    return np.mean(recall), np.mean(precision)


def test_one_set_in_itself_as_for_cub_cars_and_sop(run, domains):
    config = EvaluateConfig(gallery="split=test", queries=("split=test",))
    evaluate_run(run, domains[0], config)
    found = json.loads((run / "metrics.json").read_text())["queries"]["split=test"]
    assert found["counts"]["queries scored"] == 24
    recall, precision = loop(run, domains[0], "split=test", "split=test")
    assert found["metrics"]["recall@1"] == pytest.approx(recall)
    assert found["metrics"]["mmp@5"] == pytest.approx(precision)
    assert 0 < recall < 1
    assert "triplets" not in found["metrics"]
    assert "each is left out of its own neighbours" in (run / "report.html").read_text()


def test_a_merged_index_and_the_mean_over_domains(run, domains):
    queries = ("set=cars", "set=birds", "set=art/queries")
    evaluate_run(run, domains[0], EvaluateConfig(gallery="merged=test", queries=queries))
    found = json.loads((run / "metrics.json").read_text())
    of = {where: found["queries"][where]["metrics"] for where in queries}
    for where in queries:
        recall, precision = loop(run, domains[0], "merged=test", where)
        assert of[where]["recall@1"] == pytest.approx(recall), where
        assert of[where]["mmp@5"] == pytest.approx(precision), where
    # Those outside the index have triplets, the others none: no mean over all.
    assert "triplets" in of["set=art/queries"]
    assert "triplets" not in found["mean"]
    for name in ("recall@1", "mmp@5"):
        assert found["mean"][name] == pytest.approx(np.mean([m[name] for m in of.values()]))
    assert "Unweighted mean over the query sets" in (run / "report.html").read_text()


def test_the_mean_is_that_of_the_query_sets():
    def scored(**metrics):
        return Score(metrics, {}, None, np.empty((0, 0), dtype=np.int64))

    found = mean_score({"a=1": scored(x=0.2, y=1), "a=2": scored(x=0.4), "triplets": scored(x=9)})
    assert found.metrics == {"x": pytest.approx(0.3)}
    assert found.counts == {"query sets": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gallery": "split=nowhere"}, "no image has split=nowhere; values of 'split': gallery"),
        ({"label": "instance"}, "column 'instance' is missing"),
        ({"group": "class"}, "column 'class' is missing"),
    ],
)
def test_what_the_dataset_lacks(run, change, message):
    config = dataclasses.replace(read_run(run)[0].evaluate, **change)
    with pytest.raises(DataError, match=message):
        evaluate_run(run, None, config)
    assert not (run / "metrics.json").exists()


def test_an_unfinished_run(run):
    (run / "run.json").unlink()
    with pytest.raises(DataError, match="training did not finish"):
        evaluate_run(run, None, None)


def test_a_probe_is_recall_at_one(run, finished):
    config = read_run(run)[0]
    encoder = load_encoder(run)[0].train()
    value = probe_of(finished[0], config, "split=query")(encoder)
    assert encoder.training
    want = evaluate_run(run, None, None).models[0].runs[0].metrics["split=query"]["recall@1"]
    assert value == {"recall@1": want}


def test_embeddings_do_not_depend_on_batches(run, finished):
    images, store = open_images(finished[0])
    encoder, shown = load_encoder(run)
    reader = ImageReader(store, np.arange(len(images)), shown.size)
    whole = embed(encoder, reader)
    assert whole.shape == (15, 8)
    np.testing.assert_allclose(embed(encoder, reader, batch_size=2), whole, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, rtol=1e-5)
    nothing = ImageReader(store, np.arange(0), shown.size)
    assert embed(encoder, nothing).shape == (0, 8)
    assert not torch.is_inference_mode_enabled()


def test_embed_dataset(run, finished, tmp_path):
    dataset, _ = finished
    out = tmp_path / "new" / "vectors.parquet"
    assert embed_dataset(run, dataset, out) == 15
    table = pq.read_table(out)
    images, store = open_images(dataset)
    assert table.column("image_id").to_pylist() == images.ids
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: float>[8]"
    encoder, shown = load_encoder(run)
    want = embed(encoder, ImageReader(store, np.arange(15), shown.size))
    np.testing.assert_array_equal(np.array(table.column("embedding").to_pylist(), np.float32), want)
    with pytest.raises(DataError, match="exists already; give --overwrite"):
        embed_dataset(run, dataset, out)
    assert embed_dataset(run, dataset, out, "split=query", overwrite=True) == 3
    assert pq.read_table(out).num_rows == 3
    assert [p.name for p in out.parent.iterdir()] == ["vectors.parquet"]
