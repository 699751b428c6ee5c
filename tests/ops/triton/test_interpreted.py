"""The cases of every op's tests, with its Triton kernels in Triton's interpreter.

The interpreter is chosen when triton is imported, so each file runs in a process of its own.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from graphrise.ops.backend import installed, interpreted

ROOT = Path(__file__).parents[3]
FILES = sorted(
    path
    for path in (ROOT / "tests" / "ops").glob("test_*.py")
    if re.search(r'mark\.backends\([^)]*"triton"', path.read_text(encoding="utf-8"))
)


@pytest.mark.slow
@pytest.mark.skipif(interpreted() or not installed("triton"), reason="needs Triton, compiling")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_interpreted(path):
    command = [sys.executable, "-m", "pytest", str(path), "-k", "triton-interpreted", "-x"]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
