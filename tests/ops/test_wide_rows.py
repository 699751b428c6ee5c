"""Rows of more blocks of columns than one axis of a GPU's grid has programs."""

import pytest
import torch

from graphrise.ops.neighbor import neighbor_sum
from graphrise.ops.scatter import scatter
from graphrise.ops.segment import segment_max, segment_reduce, segment_softmax

LENGTHS = [2, 0, 3]
WIDTH = 1100  # five blocks of 256, over two layers of three


@pytest.fixture
def short_axis(monkeypatch):
    monkeypatch.setattr("graphrise.ops.triton.grid._LONGEST", 3)


@pytest.mark.backends("triton")
def test_every_column_is_computed_once(backend, device, short_axis):
    rowptr = torch.tensor([0, *LENGTHS]).cumsum(0)
    row = torch.repeat_interleave(torch.tensor(LENGTHS))
    src = torch.randn(5, WIDTH, dtype=torch.float64)
    there = src.to(device).requires_grad_()
    pointers, index = rowptr.to(device), row.to(device)
    want = torch.zeros(3, WIDTH, dtype=torch.float64).index_add(0, row, src)
    sums = {
        "segments": segment_reduce(there, pointers, backend=backend),
        "added": scatter(there, index, 0, dim_size=3, backend=backend),
        "sorted": scatter(there, index, 0, dim_size=3, deterministic=True, backend=backend),
        "neighbours": neighbor_sum(there, pointers, torch.arange(5).to(device), backend=backend),
    }
    for name, got in sums.items():
        torch.testing.assert_close(got.cpu(), want, msg=lambda of, name=name: f"{name}: {of}")
        (grad,) = torch.autograd.grad(got.sum(), there)
        assert torch.equal(grad.cpu(), torch.ones_like(src)), name
    top, at = segment_max(there, pointers, backend=backend)
    assert torch.equal(top[2].cpu(), src[2:].amax(0))
    assert torch.equal(at[0].cpu(), src[:2].argmax(0))
    got = segment_softmax(there, pointers, backend=backend)
    upstream = torch.randn_like(src)
    plain = src.clone().requires_grad_()
    cut = torch.cat([plain[:2].softmax(0), plain[2:].softmax(0)])
    torch.testing.assert_close(got.cpu(), cut)
    grads = [torch.autograd.grad(of, x, upstream.to(of)) for of, x in ((got, there), (cut, plain))]
    torch.testing.assert_close(grads[0][0].cpu(), grads[1][0])
