"""Which backend is chosen, and what is said where one cannot run."""

import sys

import pytest
import torch

from graphrise.errors import ConfigError
from graphrise.ops.backend import choose, installed, interpreted

ALL = ("triton", "numba", "torch")


@pytest.fixture(autouse=True)
def unforced(monkeypatch):
    monkeypatch.delenv("GRAPHRISE_BACKEND", raising=False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)


def test_the_best_that_can_run():
    assert choose("op", torch.zeros(1), ALL) == "numba"
    assert choose("op", torch.zeros(1, dtype=torch.float64), ALL) == "numba"
    assert choose("op", torch.zeros(1, dtype=torch.bfloat16), ALL) == "torch"
    assert choose("op", torch.zeros(1, device="meta"), ALL) == "torch"
    assert choose("op", torch.zeros(1), ("torch", "numba")) == "torch"


def test_without_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert not installed("numba")
    assert choose("op", torch.zeros(1), ALL) == "torch"
    with pytest.raises(ConfigError, match=r"op: .*'numba'.*not installed \(pip install numba\)"):
        choose("op", torch.zeros(1), ALL, "numba")


def test_torch_scatter_only_where_asked_for(monkeypatch):
    names = ("torch_scatter", "torch")
    monkeypatch.setitem(sys.modules, "torch_scatter", sys)
    assert choose("op", torch.zeros(1), names) == "torch"
    assert choose("op", torch.zeros(1), names, "torch_scatter") == "torch_scatter"
    monkeypatch.setitem(sys.modules, "torch_scatter", None)
    with pytest.raises(ConfigError, match=r"pip install graphrise\[scatter\]"):
        choose("op", torch.zeros(1), names, "torch_scatter")


def test_environment_forces_it_where_the_op_has_it(monkeypatch):
    monkeypatch.setenv("GRAPHRISE_BACKEND", "torch")
    assert choose("op", torch.zeros(1), ALL) == "torch"
    assert choose("op", torch.zeros(1), ALL, "numba") == "numba"
    monkeypatch.setenv("GRAPHRISE_BACKEND", "torch_scatter")
    assert choose("op", torch.zeros(1), ALL) == "numba"
    monkeypatch.setenv("GRAPHRISE_BACKEND", "numba")
    with pytest.raises(ConfigError, match=r"float32 and float64, the input is torch\.float16"):
        choose("op", torch.zeros(1, dtype=torch.float16), ALL)
    monkeypatch.setenv("GRAPHRISE_BACKEND", "cuda")
    with pytest.raises(ConfigError, match="GRAPHRISE_BACKEND=cuda: no such backend; there are tor"):
        choose("op", torch.zeros(1), ALL)


def test_a_backend_that_cannot_run():
    with pytest.raises(ConfigError, match="CPUs, the input is on meta"):
        choose("op", torch.zeros(1, device="meta"), ALL, "numba")
    with pytest.raises(ConfigError, match="none of its numba, torch"):
        choose("op", torch.zeros(1), ("numba", "torch"), "triton")


@pytest.mark.skipif(not installed("triton"), reason="needs Triton")
def test_triton_takes_cpu_tensors_in_its_interpreter_only(monkeypatch):
    with pytest.raises(ConfigError, match="CUDA devices, the input is on cpu"):
        choose("op", torch.zeros(1), ALL, "triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert interpreted()
    assert choose("op", torch.zeros(1), ALL, "triton") == "triton"
