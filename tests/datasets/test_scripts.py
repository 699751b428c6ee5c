"""The dataset scripts as a user calls them."""

import subprocess
import sys
from pathlib import Path

import pytest

from graphrise.data.tables import read_images

ROOT = Path(__file__).parents[2]


def call(script, *arguments):
    command = [sys.executable, str(ROOT / "datasets" / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_there_is_no_package_that_shadows_hugging_face_datasets():
    assert not (ROOT / "datasets" / "__init__.py").exists()


@pytest.mark.slow
def test_digits_are_written_with_the_settings_asked_for(tmp_path):
    out = tmp_path / "digits"
    done = call("digits.py", out, "--simulator.sessions", 50, "--labelled", 10)
    assert done.returncode == 0, done.stderr
    images = read_images(out)
    assert len(images) == 1797
    assert len(images.select("split=gallery")) == 180
    assert "1,797 images" in done.stdout


@pytest.mark.slow
def test_help_documents_the_simulator():
    done = call("emoji.py", "--help")
    assert done.returncode == 0
    for setting in ("sessions", "click_meant", "click_other", "drop_unique_keywords", "seed"):
        assert f"--simulator.{setting}" in done.stdout
    assert "keywords that one concept alone has" in " ".join(done.stdout.split())


@pytest.mark.slow
def test_an_error_is_one_line(tmp_path):
    done = call("sop.py", tmp_path, tmp_path / "out")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "Ebay_train.txt, Ebay_test.txt not found" in line


@pytest.mark.slow
def test_a_choice_is_checked_and_documented(tmp_path):
    done = call("inaturalist.py", tmp_path, tmp_path / "out", "--missing", "ignore")
    assert done.returncode == 2
    done = call("inaturalist.py", "--help")
    assert done.returncode == 0
    assert "--missing {error,skip}" in done.stdout
    assert "stop, or leave it out" in " ".join(done.stdout.split())
