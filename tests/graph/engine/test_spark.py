"""The builder on Spark: the same files as from DuckDB, the same errors, nothing left behind."""

import gc
import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import graphrise
from graphrise.config import (
    CoclickConfig,
    EngineConfig,
    GivenConfig,
    GraphConfig,
    QueryConfig,
    SimilarConfig,
)
from graphrise.errors import ConfigError, DataError
from graphrise.graph.build import build_graph
from graphrise.graph.engine.base import Stages
from graphrise.graph.engine.spark import SparkEngine
from graphrise.graph.names import open_names

pytestmark = pytest.mark.spark
SPARK = EngineConfig(name="spark", threads=2)
# Two parts of everything, and no time spent on compiling what runs once.
DEFAULTS = """
spark.sql.shuffle.partitions 2
spark.default.parallelism 1
spark.sql.adaptive.enabled false
spark.sql.codegen.wholeStage false
spark.sql.codegen.factoryMode NO_CODEGEN
spark.driver.memory 512m
spark.driver.extraJavaOptions -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
"""
LOOSE = "vocabulary_queries.arrow"  # the same words, but in as many batches as Spark has parts
WORDS = [
    "cat",
    "Cat ",
    "\uff23\uff21\uff34",
    "Stra\u00dfe",
    "STRASSE",
    "",
    " ",
    "\u00fc",
    "z",
    "\U0001f431",
]
KIND_NAMES = [None, "given", "coclick", "own", "it's a \\", "\u00e4 \\n"]


@pytest.fixture(scope="module")
def defaults(tmp_path_factory):
    """Settings for every Spark that starts meanwhile, in the place where Spark looks for them."""
    pytest.importorskip("pyspark", reason="pyspark is not installed")
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("Java is not installed")
    folder = tmp_path_factory.mktemp("spark")
    (folder / "spark-defaults.conf").write_text(DEFAULTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_CONF_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def session(defaults):
    """An active session, which the builds are to use and to leave as it is."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    session = builder.config("spark.local.dir", str(defaults)).getOrCreate()
    yield session
    session.stop()


def random_tables(seed):
    """All four tables, with unknown images, images of another split, and rows that repeat."""
    rng = random.Random(seed)

    def image():
        return rng.choice([*range(10, 24), 99])  # 23 is held out, 99 unknown

    def clicks():
        return rng.choice([0, 0, 1, 1, 2, 5])

    return {
        "impressions": [
            (rng.randrange(9), rng.choice(WORDS), image(), clicks()) for _ in range(150)
        ],
        "clicks": [(rng.choice(WORDS), image(), clicks()) for _ in range(40)],
        "similar_clicks": [(image(), image(), clicks(), rng.randint(5, 9)) for _ in range(60)],
        "edges": [
            (image(), image(), rng.choice([0.1, 0.5, 1.0, 3e5]), rng.choice(KIND_NAMES))
            for _ in range(60)
        ],
    }


CONFIGS = {
    1: GraphConfig(
        coclick=CoclickConfig(images_per_query=4, top_k=3),
        queries=QueryConfig(weighting="idf", per_image=2, min_pair_clicks=2),
    ),
    2: GraphConfig(
        coclick=CoclickConfig(weighting="coclick_rate", images_per_query=3, min_weight=1 / 3),
        similar=SimilarConfig(symmetric="mean", min_weight=0.1, scale=0.3, top_k=2),
        given=GivenConfig(symmetric="sum", top_k=2, scale=1e-7),
        queries=QueryConfig(min_clicks=3),
    ),
    3: GraphConfig(
        coclick=CoclickConfig(weighting="jaccard", support=2),
        similar=SimilarConfig(weighting="count", symmetric="sum", support=2),
        given=GivenConfig(symmetric="mean", min_weight=0.1),
        queries=QueryConfig(normalize=False),
        kinds=("coclick", "given", "similar"),
    ),
}


@pytest.mark.parametrize("seed", CONFIGS)
def test_the_graph_is_that_of_duckdb_file_for_file(tabled, session, tmp_path, seed):
    # Numbers and text as ids, in node order that is not theirs.
    spelt = (lambda image: f"n\u00b0{image}") if seed == 1 else int
    tables = {
        name: [tuple(spelt(x) if type(x) is int and x >= 10 else x for x in row) for row in rows]
        for name, rows in random_tables(seed).items()
    }
    folder = tabled(
        [spelt(image) for image in (17, 12, *range(18, 24), 10, 11, *range(13, 17))],
        held=[spelt(23)],
        **tables,
    )
    before = sorted(folder.iterdir())
    config = replace(CONFIGS[seed], on_unknown_image="drop")
    one, other = tmp_path / "duckdb", tmp_path / "spark"
    graph = build_graph(folder, one, config)
    build_graph(folder, other, replace(config, engine=SPARK))
    assert graph.num_edges > 20
    assert len(np.unique(graph.kind)) > 5
    names = sorted(file.name for file in one.iterdir())
    assert sorted(file.name for file in other.iterdir()) == names
    for name in names:
        if name == LOOSE:
            assert open_names(one / name) == open_names(other / name)
        elif name != "graph.json":
            assert (one / name).read_bytes() == (other / name).read_bytes(), name
    about = [json.loads((path / "graph.json").read_text()) for path in (one, other)]
    assert [info["config"].pop("engine")["name"] for info in about] == ["duckdb", "spark"]
    for info in about:
        del info["files"][LOOSE]
    assert about[0] == about[1]
    assert sorted(tmp_path.iterdir()) == [one, other], "something was left behind"
    assert sorted(folder.iterdir()) == before


def test_large_exports_are_read(session, tmp_path):
    engine = SparkEngine(SPARK, tmp_path, Stages())
    parts = engine.export(
        "large", "select cast(id div 7 as int) as x from range(700000) order by x"
    )
    engine.close()
    x = pa.concat_tables([pq.read_table(part) for part in parts]).column("x")
    np.testing.assert_array_equal(x, np.repeat(np.arange(100_000), 7))


def test_the_session_of_the_caller_stays_as_it_is(tabled, session, tmp_path):
    session.conf.set("spark.sql.ansi.enabled", "false")
    session.sql("select 7 as x").createOrReplaceTempView("images")
    config = GraphConfig(engine=replace(SPARK, spill=str(tmp_path / "spill")))
    folder = tabled("ab", edges=[("a", "b", 1.0)])
    assert build_graph(folder, folder / "graph", config).num_edges == 2
    assert [tuple(row) for row in session.sql("select x from images").collect()] == [(7,)]
    assert session.conf.get("spark.sql.ansi.enabled") == "false"
    assert list((tmp_path / "spill").iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"impressions": [(0, "q", "a", 1), (0, "q", "b", -1)]},
        {"clicks": [("q", "a", 1, 2), ("q", "b", 5, 2)]},
        {"edges": [("a", "b", 1.0), ("b", "a", float("nan"))]},
        {"similar_clicks": [("a", "b", 1, 2), ("a", "zz", 1, 2)]},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_wrong_values_are_named_as_by_duckdb(tabled, session, wrong):
    folder = tabled("ab", **wrong)
    messages = []
    for engine in (EngineConfig(), SPARK):
        with pytest.raises(DataError, match=r"\.parquet: column '.*', row 1") as caught:
            build_graph(folder, folder / "graph", GraphConfig(engine=engine))
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert len(list(folder.iterdir())) == 2, "something was left behind"


BUILDS = """
import sys
from pathlib import Path
from graphrise.config import EngineConfig, GraphConfig
from graphrise.graph.build import build_graph
from graphrise.graph.engine.base import Stages
from graphrise.graph.engine.spark import SparkEngine
from graphrise.graph.names import open_names
for folder in map(Path, sys.argv[1:]):
    config = GraphConfig(engine=EngineConfig(name="spark", threads=1, memory_gb=0.5))
    build_graph(folder, folder / "graph", config)
from pyspark import SparkContext
assert SparkContext._active_spark_context is None, "the session goes on"
assert SparkContext._gateway is None, "Java goes on"
"""


@pytest.fixture(scope="module")
def ended(tabled, defaults, tmp_path_factory):
    """(two dataset folders, working folder, process) after a build of each in one process."""
    folders = [tabled("ab", edges=[("a", "b", 1.0)]) for _ in range(2)]
    home = tmp_path_factory.mktemp("home")
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", BUILDS, *map(str, folders)],
        cwd=home,
        env=os.environ | {"PYTHONPATH": str(Path(graphrise.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    return folders, home, process


def test_a_session_of_its_own_ends_with_the_build(ended):
    folders, home, process = ended
    assert process.returncode == 0, process.stderr
    assert "Traceback" not in process.stderr
    assert "Warning: " not in process.stderr
    assert all((folder / "graph" / "graph.json").is_file() for folder in folders)
    assert list(home.iterdir()) == []


def test_a_session_of_its_own_leaves_no_folder(ended):
    for folder in ended[0]:
        names = sorted(path.name for path in folder.iterdir())
        assert names == ["edges.parquet", "graph", "images.parquet"]


# pyspark leaves the pipe to the process that did not start open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_java(tabled, defaults, tmp_path, monkeypatch):
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    for name in ("_gateway", "_jvm", "_active_spark_context"):
        monkeypatch.setattr(SparkContext, name, None)
    monkeypatch.setattr(SparkSession, "_instantiatedSession", None)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    folder = tabled("ab", edges=[("a", "b", 1.0)])
    with pytest.raises(ConfigError, match=r"Spark does not start .* needs Java 17 or newer"):
        build_graph(folder, folder / "graph", GraphConfig(engine=SPARK))
    gc.collect()
    assert len(list(folder.iterdir())) == 2, "something was left behind"


def test_without_pyspark(tabled, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyspark"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyspark", None)
    folder = tabled("ab", edges=[("a", "b", 1.0)])
    with pytest.raises(ConfigError, match=r"needs pyspark: pip install graphrise\[spark\]"):
        build_graph(folder, folder / "graph", GraphConfig(engine=SPARK))
    assert len(list(folder.iterdir())) == 2, "something was left behind"
