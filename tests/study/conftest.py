"""A small dataset with a validation split, and studies over it."""

import pytest
import yaml

from graphrise.study.spec import spec_of
from graphrise.study.storage import Try

SMALL = {
    "images.size": 16,
    "encoder.name": "test_resnet",
    "encoder.dim": 8,
    "labels.spread": False,
    "edges.alpha": 0,
    "train.epochs": None,
    "train.passes": 24,
    "train.batch_size": 3,
    "train.threads": 1,
    "train.accelerator": "cpu",
    "train.precision": "32-true",
    "checkpoint.steps": 1,
    "evaluate.group": "group",
}


@pytest.fixture
def colours(make, tmp_path):
    """The coloured dataset with three more images, the split `val`."""
    rows = make.coloured_rows()
    more = [
        {**row, "image_id": f"{row['label']}-v", "split": "val"}
        for row in rows
        if row["split"] == "query"
    ]
    return make.save_tables(tmp_path / "colours", rows + more, make.coloured_log())


@pytest.fixture
def values(colours):
    """Plain values of a study: two runs by two seeds; keywords replace keys."""

    def made(**changed):
        base = {
            "name": "small",
            "data": str(colours),
            "set": dict(SMALL),
            "axes": {"labels.spread": [False, True]},
            "seeds": 2,
            "baseline": {"labels.spread": False},
            "validation": "split=val",
            "test": "split=query",
        }
        return {k: v for k, v in {**base, **changed}.items() if v is not None}

    return made


@pytest.fixture
def spec(values):
    """The same as a `StudySpec`."""
    return lambda **changed: spec_of(values(**changed))


@pytest.fixture
def yaml_file(values, tmp_path):
    """The same as a file."""

    def made(**changed):
        file = tmp_path / "study.yaml"
        file.write_text(yaml.safe_dump(values(**changed), sort_keys=False), encoding="utf-8")
        return file

    return made


@pytest.fixture
def result():
    """What a worker keeps of a run."""

    def made(test=0.5, validation=0.5, seconds=10.0, passes=24):
        return {
            "metrics": {"split=val": {"recall@1": validation}, "split=query": {"recall@1": test}},
            "counts": {},
            "passes": passes,
            "seconds": seconds,
            "peak_mib": 100.0,
            "curve": [{"passes": 3.0, "seconds": 1.0, "label_loss": 2.0, "recall@1": 0.25}],
            "notes": [],
            "versions": {"torch": "2"},
        }

    return made


@pytest.fixture
def finished(result):
    """Tries of a plan whose runs are all finished; `score` gives the test recall@1 of a run."""

    def made(runs, score, probes=3):
        tries = {}
        for number, run in enumerate(runs):
            test = score(run)
            found = result(test=test, validation=test, seconds=30.0 + run.seed)
            found["curve"] = [
                {"passes": 8.0 * k, "seconds": (10.0 + run.seed) * k, "recall@1": test * k / probes}
                for k in range(1, probes + 1)
            ]
            tries[run.name, run.seed] = Try(number, "finished", run.key, 1, 1, "", found)
        return tries

    return made


@pytest.fixture
def waiting():
    """A try that has not begun."""
    return Try(9, "waiting", "", 0, 1, "", {})
