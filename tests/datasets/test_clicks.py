"""Clickture and Marqo-GS-10M: click logs that become graphs."""

import base64

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphrise.config import GraphConfig
from graphrise.errors import DataError
from graphrise.graph.build import build_graph


@pytest.fixture
def clickture(make, put):
    """Three pictures in two files; two of them were clicked for one query."""
    pictures = [base64.b64encode(make.noisy((9, 9, 200), i)).decode() for i in range(3)]
    return put(
        {
            "Train/TrainClickLog.tsv": "k+0\tred fox\t3\nk/1\tred fox\t1\nk=2\tZug\t12\n",
            "Train/TrainImageSet_1.tsv": f"k+0\t{pictures[0]}\nk/1\t{pictures[1]}\n",
            "Train/TrainImageSet_2.tsv": f"k=2\thttp://url\t{pictures[2]}\n",
        }
    )


def test_clickture_becomes_a_graph(script, clickture, opened, tmp_path, capsys):
    out = tmp_path / "out"
    script("clickture").main(clickture, out)
    assert {r["image_id"]: r["split"] for r in opened(out).values()} == dict.fromkeys(
        ("k+0", "k/1", "k=2"), "train"
    )
    assert "3 rows of clicks" in capsys.readouterr().out
    graph = build_graph(out, tmp_path / "graph", GraphConfig())
    assert graph.num_edges == 2
    assert set(graph.vocabulary["queries"]) == {"red fox", "zug"}
    assert graph.info["counts"]["clicks"] == 16


def test_clickture_pictures_that_are_none(script, clickture, opened, tmp_path, capsys):
    with (clickture / "Train/TrainImageSet_2.tsv").open("a") as file:
        file.write("k3\t\nk4\tno base64!\n")
    main = script("clickture").main
    with pytest.raises(DataError, match=r"2 of 5 listed images have no picture.* k3, k4;"):
        main(clickture, tmp_path / "out")
    main(clickture, tmp_path / "out", missing="skip")
    assert len(opened(tmp_path / "out")) == 3
    assert "2 listed images have no picture" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "message"),
    [("k\tq\t-1", "line 4: clicks '-1' is not a whole number"), ("k\tq", "line 4 has 2 columns")],
)
def test_clickture_with_a_damaged_log(script, clickture, tmp_path, line, message):
    with (clickture / "Train/TrainClickLog.tsv").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=message):
        script("clickture").main(clickture, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_clickture_elsewhere(script, clickture, tmp_path):
    main = script("clickture").main
    with pytest.raises(DataError, match=r"TrainClickLog.tsv not found"):
        main(tmp_path, tmp_path / "out")
    with pytest.raises(DataError, match=r"no file x\*.tsv; name them with --pictures_in"):
        main(clickture, tmp_path / "out", pictures_in="x*.tsv")


@pytest.fixture
def marqo(make, tmp_path):
    """Two products for training, found for two queries, and one that is novel."""

    def write(name, pairs):
        rows = [
            {
                "image": {"bytes": make.noisy((90, 9, 9), int(product)), "path": None},
                "query": query,
                "product_id": product,
                "position": 101 - score,
                "title": f"thing {product}",
                "score_linear": score,
            }
            for query, product, score in pairs
        ]
        (tmp_path / "source/data").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "source/data" / name)

    write("in_domain-00000-of-00002.parquet", [("mug", "1", 100), ("mug", "2", 99)])
    write("in_domain-00001-of-00002.parquet", [("cup", "2", 100), ("cup", "1", 7)])
    write("novel_query-00000-of-00001.parquet", [("jug", "1", 100)])
    write("zero_shot-00000-of-00001.parquet", [("jug", "3", 99)])
    return tmp_path / "source"


def test_marqo_becomes_a_graph(script, marqo, opened, tmp_path, capsys):
    out = tmp_path / "out"
    script("marqo").main(marqo, out)
    assert {i: (r["split"], r["query"], r["title"]) for i, r in opened(out).items()} == {
        "1": ("train", "mug", "thing 1"),
        "2": ("train", "mug", "thing 2"),
        "3": ("novel", "jug", "thing 3"),
    }
    assert "no file of: novel_document" in capsys.readouterr().out
    graph = build_graph(out, tmp_path / "graph", GraphConfig())
    assert list(graph.image_ids) == ["1", "2"]
    assert graph.num_edges == 2
    assert graph.info["counts"]["clicks"] == 306
    assert set(graph.vocabulary["queries"]) == {"mug", "cup"}  # jug is a query of the test


def test_marqo_in_another_form(script, marqo, tmp_path):
    with pytest.raises(DataError, match=r"no data/in_domain-\*.parquet"):
        script("marqo").main(marqo / "data", tmp_path / "out")
    file = marqo / "data/in_domain-00000-of-00002.parquet"
    pq.write_table(pq.read_table(file).drop_columns("title"), file)
    with pytest.raises(DataError, match="column 'title' is missing"):
        script("marqo").main(marqo, tmp_path / "out")
