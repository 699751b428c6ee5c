"""`pytest -m gpu` on a machine that lacks what other tests need."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
BLOCK = "import sys\nfor name in ('duckdb', 'jsonargparse'):\n    sys.modules[name] = None\n"
FILES = ("test_cli.py", "graph/sql/test_merge.py", "loader/test_gpu.py")


@pytest.mark.slow
@pytest.mark.parametrize(("marks", "code"), [("gpu", 0), ("not gpu", 2)])
def test_files_without_their_packages_are_left_out(tmp_path, marks, code):
    (tmp_path / "sitecustomize.py").write_text(BLOCK)
    command = [sys.executable, "-m", "pytest", "--collect-only", "-rs", "-m", marks]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", *(str(TESTS / name) for name in FILES)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == code, done.stdout
    if marks == "gpu":
        assert "2 tests collected" in done.stdout
        assert "needs duckdb, which is not installed" in done.stdout
        assert "needs jsonargparse, which is not installed" in done.stdout
    else:  # elsewhere a package that is missing is a fault
        assert "2 errors" in done.stdout
