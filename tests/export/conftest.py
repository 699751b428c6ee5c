"""One exported folder with everything in it."""

import pytest

from graphrise.export import export_run


@pytest.fixture(scope="session")
def exported(finished, tmp_path_factory):
    """(folder, result); shared: tests must not change it."""
    out = tmp_path_factory.mktemp("exported") / "encoder"
    return out, export_run(finished[1], out, onnx=True, program=True)
