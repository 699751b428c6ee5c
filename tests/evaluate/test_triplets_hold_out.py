"""A log in two parts: nothing lost, nothing in both, and a graph that is built from the rest."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphrise.cli import main
from graphrise.config import HeldOutConfig
from graphrise.data.tables import read_images
from graphrise.errors import ConfigError, DataError
from graphrise.evaluate.triplets import NoTriplets
from graphrise.evaluate.triplets_clicks import click_triplets
from graphrise.evaluate.triplets_file import read_triplets
from graphrise.evaluate.triplets_hold_out import hold_out
from graphrise.graph.store import open_graph
from graphrise.images.dataset import open_images

CONFIG = HeldOutConfig(share=0.3)
SESSIONS = 60


@pytest.fixture
def log():
    """The coloured images in sessions of which each shows one colour, and the last is passed."""
    return [
        {"session": f"s{s}", "query": name, "image_id": f"{name}-{i}", "clicked": i < 3, "place": i}
        for s in range(SESSIONS)
        for name in [("red", "green", "blue")[s % 3]]
        for i in range(4)
    ]


@pytest.fixture
def logged(make, log, tmp_path):
    return make.save_tables(tmp_path / "d", make.coloured_rows(), log)


def rows(folder):
    return pq.read_table(folder / "impressions.parquet").to_pylist()


def test_the_log_in_two_parts(logged, log, tmp_path):
    out = tmp_path / "deep" / "out"
    counts = hold_out(logged, out, CONFIG)
    kept = rows(out)
    sessions = {row["session"] for row in kept}
    assert 0.5 * SESSIONS < len(sessions) < 0.9 * SESSIONS
    want = [{k: v for k, v in r.items() if k != "place"} for r in log if r["session"] in sessions]
    assert sorted(kept, key=str) == sorted(want, key=str)
    assert counts["sessions"] == counts["lists_with_triplets"] == SESSIONS - len(sessions)
    assert counts["impressions"] == len(log)
    assert counts["impressions_kept"] == len(kept)
    # Three clicked and one passed: six triplets a colour, however many sessions gave them.
    assert counts["triplets"] == 18
    assert counts["possible_triplets"] == 6 * counts["sessions"] == 18 + counts["repeated_draws"]
    found = read_triplets("triplets.parquet", read_images(out))
    drawn = click_triplets(logged, CONFIG)
    assert found.anchor.tolist() == drawn.anchor.tolist()
    assert found.negative.tolist() == drawn.negative.tolist()
    told = json.loads((out / "held_out.json").read_text())
    assert told["counts"] == counts
    assert told["config"]["share"] == 0.3
    names = ["held_out.json", "images.parquet", "impressions.parquet", "triplets.parquet"]
    assert sorted(p.name for p in out.iterdir()) == names
    assert list(out.parent.iterdir()) == [out]


def test_a_session_stays_on_its_side(make, logged, log, tmp_path):
    hold_out(logged, tmp_path / "one", CONFIG)
    more = [{**row, "session": f"t{row['session']}"} for row in log]
    grown = make.save_tables(tmp_path / "grown", make.coloured_rows(), [*more, *log])
    hold_out(grown, tmp_path / "two", CONFIG)
    old = {row["session"] for row in log}
    kept = [{row["session"] for row in rows(tmp_path / name)} for name in ("one", "two")]
    assert kept[1] & old == kept[0]
    assert kept[1] - old


def test_the_folder_is_a_dataset_with_pictures(make, log, tmp_path):
    """Pictures in files are found from the new folder, in parts too."""
    images = make.coloured_rows()
    parts = tmp_path / "d" / "images"
    parts.mkdir(parents=True)
    for number, part in enumerate((images[:7], images[7:])):
        for row in part:
            row["path"] = f"images/{row['image_id']}.png"
            (tmp_path / "d" / row["path"]).write_bytes(row.pop("image"))
        pq.write_table(pa.Table.from_pylist(part), parts / f"{number}.parquet")
    pq.write_table(pa.Table.from_pylist(log), tmp_path / "d" / "impressions.parquet")
    hold_out(tmp_path / "d", tmp_path / "out", CONFIG)
    (one, store), (other, moved) = open_images(tmp_path / "d"), open_images(tmp_path / "out")
    assert other.ids == one.ids
    assert other.column("label") == one.column("label")
    assert [bytes(moved.read(i)) for i in range(15)] == [bytes(store.read(i)) for i in range(15)]


def test_outputs_are_not_overwritten_by_chance(logged, tmp_path):
    out = tmp_path / "out"
    hold_out(logged, out, CONFIG)
    with pytest.raises(DataError, match="exists already; give --overwrite"):
        hold_out(logged, out, CONFIG)
    hold_out(logged, out, HeldOutConfig(share=0.5), overwrite=True)
    assert json.loads((out / "held_out.json").read_text())["config"]["share"] == 0.5
    for folder in (logged, logged.parent):
        with pytest.raises(ConfigError, match="is the dataset folder or holds it"):
            hold_out(logged, folder, CONFIG, overwrite=True)
    (out / "held_out.json").unlink()
    with pytest.raises(DataError, match=r"holds no held_out\.json, so it is not overwritten"):
        hold_out(logged, out, CONFIG, overwrite=True)
    with pytest.raises(NoTriplets):
        hold_out(logged, tmp_path / "none", HeldOutConfig(share=2**-52))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", "out"]


def test_the_command(logged, tmp_path, capsys):
    out = tmp_path / "out"
    clicks = [{"query": "red", "image_id": "red-1", "clicks": 3}]
    pq.write_table(pa.Table.from_pylist(clicks), logged / "clicks.parquet")
    argv = ["triplets", logged, out, "--triplets.share=0.3", "--graph.engine.threads=1"]
    assert main(list(map(str, argv))) == 0
    text = capsys.readouterr().out
    assert "note: clicks is not taken over" in text
    assert not (out / "clicks.parquet").exists()
    assert "of 240 impressions kept, 18 triplets of" in text
    assert f"next: graphrise build-graph {out}" in text
    assert main(["build-graph", str(out)]) == 0
    assert open_graph(out / "graph").num_nodes == 12
    assert main(list(map(str, argv))) == 1
    assert "exists already; give --overwrite" in capsys.readouterr().err
