"""Kernels are launched on the device of their data."""

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

KERNELS = Path(__file__).parents[3] / "graphrise" / "ops" / "triton"


def launches(tree, inside=False):
    """`(line, whether inside "with device_of(...)")` of each `kernel[grid](...)`."""
    for node in ast.iter_child_nodes(tree):
        within = inside
        if isinstance(node, ast.With):
            calls = [item.context_expr for item in node.items]
            names = [of.func for of in calls if isinstance(of, ast.Call)]
            within |= any(isinstance(of, ast.Name) and of.id == "device_of" for of in names)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript):
            yield node.lineno, within
        yield from launches(node, within)


def test_every_launch_is_on_the_device_of_its_data():
    found = {}
    for path in sorted(KERNELS.glob("*.py")):
        for line, inside in launches(ast.parse(path.read_text(encoding="utf-8"))):
            found[f"{path.name}:{line}"] = inside
    assert len(found) >= 12
    assert [place for place, inside in found.items() if not inside] == []


def test_the_device_of_cuda_tensors_alone_is_made_current(monkeypatch):
    pytest.importorskip("triton")
    from graphrise.ops.triton.device import device_of

    asked = []
    monkeypatch.setattr(torch.cuda, "_exchange_device", lambda index: asked.append(index) or 0)
    monkeypatch.setattr(torch.cuda, "_maybe_exchange_device", asked.append)
    with device_of(torch.empty(0)):
        assert asked == []
    tensor = SimpleNamespace(is_cuda=True, get_device=lambda: 1)
    with device_of(tensor):  # pyright: ignore[reportArgumentType]
        assert asked == [1]
    assert asked == [1, 0]


@pytest.mark.gpu
def test_on_another_device_than_the_current_one():
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    from graphrise.ops.segment import segment_reduce

    src, rowptr = torch.ones(3, 4, device="cuda:1"), torch.tensor([0, 2, 3], device="cuda:1")
    assert torch.cuda.current_device() == 0
    out = segment_reduce(src, rowptr, backend="triton")
    assert out[:, 0].tolist() == [2.0, 1.0]
    assert torch.cuda.current_device() == 0
