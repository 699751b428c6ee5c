"""What workers are started with."""

import os

from graphrise.study.environment import worker_environment


def test_the_environment_of_workers_is_not_left_behind(monkeypatch):
    monkeypatch.delenv("MALLOC_MMAP_MAX_", raising=False)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "7")
    before = dict(os.environ)
    with worker_environment():
        assert os.environ["MALLOC_MMAP_MAX_"] == "0"
        assert os.environ["MALLOC_TRIM_THRESHOLD_"] == "7"
    assert dict(os.environ) == before
