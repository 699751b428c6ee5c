"""Grids that a GPU can launch, whatever the shape."""

import pytest

# Rows and blocks of columns at most along the axes, as CUDA has them.
LONGEST = (2**31 - 1, 65535, 65535)


@pytest.mark.parametrize("columns", [1, 2, 65535, 65536, 78_125, 2**31 // 256, 2**31])
def test_all_columns_are_in_the_grid(columns):
    pytest.importorskip("triton")
    from graphrise.ops.triton.grid import tiled

    size = tiled(7, columns)
    assert all(1 <= axis <= most for axis, most in zip(size, LONGEST, strict=True))
    assert size[0] == 7
    # Programs beyond the last column find nothing to do; there are no more of them than layers.
    assert columns <= size[1] * size[2] < columns + size[2]
    assert size[2] == 1 or columns > LONGEST[1]


@pytest.mark.parametrize(("rows", "dim"), [(4, 20_000_000), (2**33, 1), (1, 2**38), (3, 64)])
def test_segments_of_any_shape_have_a_grid(rows, dim):
    pytest.importorskip("triton")
    from graphrise.ops.triton.segment import shape

    size, options = shape(rows, dim)
    assert all(axis <= most for axis, most in zip(size, LONGEST, strict=True))
    assert size[0] * options["ROWS"] >= rows
    assert size[1] * size[2] * options["DIM"] >= dim
