"""The dataset scripts as modules, and tiny pictures where a data set would have them."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script():
    """A script of `datasets/` by name; it is no package, so not importable."""

    def load(name):
        spec = importlib.util.spec_from_file_location(name, ROOT / "datasets" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def put(make, tmp_path):
    """Write files below `tmp_path / "source"`: text as given, None a picture; returns it."""

    def write(files):
        source = tmp_path / "source"
        for number, (name, text) in enumerate(files.items()):
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.write_bytes(make.noisy((90, 120, 150), number))
            elif isinstance(text, bytes):
                path.write_bytes(text)
            else:
                path.write_text(text, encoding="utf-8")
        return source

    return write


@pytest.fixture
def opened():
    """Rows of a dataset folder by image id, after every picture has been read."""
    from graphrise.images import open_images

    def read(out):
        images, store = open_images(out)
        for row in range(len(images)):
            assert bytes(store.read(row))[:4] == b"\x89PNG"
        return {row["image_id"]: row for row in images.table.to_pylist()}

    return read
