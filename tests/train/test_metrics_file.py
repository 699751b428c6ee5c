"""metrics.csv: columns that grow, rows that are there at once, and going on where a run stopped."""

import csv

import pytest
from lightning.pytorch.utilities import rank_zero_only

from graphrise.errors import DataError
from graphrise.train.metrics_file import MetricsFile


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.csv"


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_is_in_the_file_at_once(path):
    log = MetricsFile(path)
    log.log_metrics({"loss": 0.5, "passes": 30}, 9)
    assert path.read_text() == "step,loss,passes\n9,0.5,30\n"
    log.log_metrics({"passes": 60, "loss": 0.25}, 19)
    assert rows_of(path)[1] == {"step": "19", "loss": "0.25", "passes": "60"}


def test_values_come_back_to_the_last_bit(path):
    value = 0.1 + 0.2
    MetricsFile(path).log_metrics({"loss": value, "other": float("nan")}, 0)
    (row,) = rows_of(path)
    assert float(row["loss"]) == value
    assert row["other"] == "nan"


def test_columns_grow_and_cells_stay_empty(path):
    log = MetricsFile(path)
    log.log_metrics({"loss": 1.0}, 0)
    log.log_metrics({"loss": 2.0, "edge_loss/co,click": 3.0}, 1)
    log.log_metrics({"edge_loss/co,click": 4.0}, 2)
    found = [(r["step"], r["loss"], r["edge_loss/co,click"]) for r in rows_of(path)]
    assert found == [("0", "1.0", ""), ("1", "2.0", "3.0"), ("2", "", "4.0")]
    assert [p.name for p in path.parent.iterdir()] == ["metrics.csv"]


def test_truncated_files_go_on_with_the_same_columns(path):
    first = MetricsFile(path)
    for step in (9, 19, 29):
        first.log_metrics({"loss": float(step), "lr": 0.1}, step)
    # A checkpoint after 20 steps: the rows of steps 0 to 19 are before it.
    again = MetricsFile(path)
    again.truncate(20)
    assert [row["step"] for row in rows_of(path)] == ["9", "19"]
    again.log_metrics({"lr": 0.2, "loss": 7.0}, 29)
    assert rows_of(path)[2] == {"step": "29", "loss": "7.0", "lr": "0.2"}
    again.truncate(0)
    assert rows_of(path) == []


def test_an_earlier_file_is_kept_without_truncation(path):
    MetricsFile(path).log_metrics({"loss": 1.0}, 0)
    MetricsFile(path).log_metrics({"other": 2.0}, 1)
    assert [row["step"] for row in rows_of(path)] == ["0", "1"]


def test_nothing_is_made_before_the_first_row(path):
    MetricsFile(path).truncate(0)
    assert not path.exists()


@pytest.mark.parametrize("cut", [1, 2, 4, 7])
def test_half_a_row_of_a_killed_process_is_dropped(path, cut):
    log = MetricsFile(path)
    for step in (9, 1999):
        log.log_metrics({"loss": 0.5}, step)
    path.write_bytes(path.read_bytes()[:-cut])
    again = MetricsFile(path)
    again.truncate(5000)
    assert [row["step"] for row in rows_of(path)] == ["9"]
    again.log_metrics({"loss": 0.25}, 19)
    assert [row["step"] for row in rows_of(path)] == ["9", "19"]


@pytest.mark.parametrize("text", ["step,loss\nten,1.0\n", "loss\n1.0\n"])
def test_a_row_without_a_step_names_its_line(path, text):
    path.write_text(text)
    with pytest.raises(DataError, match=r"metrics\.csv: line 2, column 'step'.*repair"):
        MetricsFile(path).truncate(3)


def test_other_ranks_write_nothing(path, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    log = MetricsFile(path)
    log.truncate(0)
    log.log_metrics({"loss": 1.0}, 0)
    assert not path.exists()
