"""TensorBoard's files: what is written is read back, and a resumed run hides what it repeats."""

import struct

import pytest
from lightning.pytorch.utilities import rank_zero_only

from graphrise.train.event_file import EventFile

event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")


def events_of(folder):
    """Every event of a folder, file by file: records of length, checksum, bytes, checksum."""
    found = []
    for file in sorted(folder.iterdir()):
        data, at = file.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            found.append(event_pb2.Event.FromString(data[at + 12 : at + 12 + length]))
            at += 16 + length
    return found


def scalars_of(folder):
    return [
        (event.step, value.tag, value.simple_value)
        for event in events_of(folder)
        for value in event.summary.value
    ]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run" / "tensorboard"


def test_values_are_read_back(folder):
    log = EventFile(folder)
    log.truncate(0)
    assert not folder.exists()
    log.log_metrics({"loss": 0.5, "edge_loss/coclick": 0.25, "passes": 30}, 9)
    log.log_metrics({"loss": float("inf")}, 19)
    log.save()
    assert scalars_of(folder)[0] == (9, "loss", 0.5)
    log.finalize("success")
    assert scalars_of(folder) == [
        (9, "loss", 0.5),
        (9, "edge_loss/coclick", 0.25),
        (9, "passes", 30.0),
        (19, "loss", float("inf")),
    ]


def test_tensorboard_shows_a_resumed_run_once(folder):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="TensorBoard reads them"
    )
    first = EventFile(folder)
    for step in (9, 19, 29):
        first.log_metrics({"loss": float(step)}, step)
    first.finalize("failed")
    again = EventFile(folder)
    again.truncate(20)
    again.log_metrics({"loss": -1.0}, 29)
    again.finalize("success")
    shown = accumulator.EventAccumulator(str(folder))
    shown.Reload()
    assert [(s.step, s.value) for s in shown.Scalars("loss")] == [(9, 9), (19, 19), (29, -1)]


def test_a_resumed_run_says_from_where_it_repeats(folder):
    first = EventFile(folder)
    first.log_metrics({"loss": 1.0}, 29)
    first.finalize("failed")
    again = EventFile(folder)
    again.truncate(20)
    again.finalize("success")
    starts = [e.step for e in events_of(folder) if e.HasField("session_log")]
    assert starts == [20]


def test_other_ranks_write_nothing(folder, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    log = EventFile(folder)
    log.truncate(3)
    log.log_metrics({"loss": 1.0}, 0)
    log.save()
    log.finalize("success")
    assert not folder.exists()
