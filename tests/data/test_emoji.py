"""The emoji catalogue over a made package tree of the real layout."""

import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from graphrise.data import emoji as emoji_module
from graphrise.data.emoji import SPLITS, catalogue, drawings, plain_code, write_emoji
from graphrise.data.simulate import SimulatorConfig
from graphrise.errors import ConfigError, DataError

VENDORS = ("apple", "google", "twitter", "facebook")
# Code, name, category, subcategory, cell (column, row).
DRAWN = [
    ("1F600", "GRINNING FACE", "Smileys", "face-smiling", (0, 0)),
    ("2764-FE0F", "HEAVY BLACK HEART", "Smileys", "heart", (1, 0)),
    ("1F436", None, "Animals", "animal-mammal", (0, 1)),
    ("1F468-200D-1F33E", "MALE FARMER", "People", "person-role", (1, 1)),
    ("1F3C3-200D-2640-FE0F", "WOMAN RUNNING", "People", "person-activity", (2, 0)),
    ("1F1E9-1F1EA", "FLAG", "Flags", "country-flag", (2, 1)),
    ("1F46A", "FAMILY", "People", "family", (2, 2)),
    ("1F680", "ROCKET", "Travel", "transport-air", (0, 2)),
]
KEPT = ["1f600", "2764", "1f436"]


def colour_of(vendor, cell):
    """Every drawing has a colour of its own."""
    return (40 * (1 + VENDORS.index(vendor)), 60 * (1 + cell[0]), 60 * (1 + cell[1]))


@pytest.fixture
def packages(tmp_path):
    sheets, fluent, words = tmp_path / "sheets", tmp_path / "fluent", tmp_path / "words"
    for vendor in VENDORS:
        folder = sheets / "img" / vendor / "sheets"
        folder.mkdir(parents=True)
        sheet = Image.new("RGBA", (3 * 34, 3 * 34), (0, 0, 0, 0))
        for *_, (x, y) in DRAWN:
            # One transparent pixel of border on each side of 32.
            box = (34 * x + 1, 34 * y + 1, 34 * x + 33, 34 * y + 33)
            sheet.paste((*colour_of(vendor, (x, y)), 255), box)
        sheet.save(folder / "32.png")
    entries = [
        {
            "unified": code,
            "name": name,
            "short_name": "dog",
            "category": category,
            "subcategory": subcategory,
            "sheet_x": cell[0],
            "sheet_y": cell[1],
            # Google has no rocket of its own: the sheet shows Apple's there.
            **{f"has_img_{v}": not (v == "google" and code == "1F680") for v in VENDORS},
        }
        for code, name, category, subcategory, cell in DRAWN
    ]
    (sheets / "emoji.json").write_text(json.dumps(entries))
    (fluent / "assets").mkdir(parents=True)
    for code, *_ in DRAWN:
        picture = Image.new("RGBA", (64, 64), (0, 0, 250, 128))
        picture.save(fluent / "assets" / f"{code.lower()}.webp", lossless=True)
    (words / "dist").mkdir(parents=True)
    keys = {"".join(chr(int(c, 16)) for c in code.split("-")): code for code, *_ in DRAWN}
    keywords = {key: ["shared_word", f"own {code}"] for key, code in keys.items()}
    (words / "dist" / "emoji-en-US.json").write_text(json.dumps(keywords))
    return sheets, fluent, words


def test_codes_drop_the_variation_selector():
    assert plain_code("2764-FE0F") == plain_code("2764") == "2764"
    assert plain_code("1F3C3-200D-2640-FE0F") == "1f3c3-200d-2640"


def test_keeps_what_every_vendor_draws_itself(packages):
    found = catalogue(*packages)
    assert [e.code for e in found] == KEPT
    assert [e.name for e in found] == ["grinning face", "heavy black heart", "dog"]
    assert found[0].keywords == ("shared word", "own 1F600")
    assert found[2].cell == (0, 1)
    assert (found[2].category, found[2].subcategory) == ("Animals", "animal-mammal")
    (packages[1] / "assets" / "1f600.webp").unlink()
    assert [e.code for e in catalogue(*packages)] == KEPT[1:]


def test_drawings_are_cut_from_their_cells(packages):
    sheets, fluent, _ = packages
    found = catalogue(*packages)
    pictures = drawings(found, sheets, fluent)
    assert set(pictures) == {*VENDORS, "fluent"}
    for vendor in VENDORS:
        for e, content in zip(found, pictures[vendor], strict=True):
            image = Image.open(io.BytesIO(content))
            assert (image.size, image.mode) == ((32, 32), "RGB")
            # One colour up to the edge: no border pixel came along.
            pixels = np.asarray(image).reshape(-1, 3)
            assert np.unique(pixels, axis=0).tolist() == [list(colour_of(vendor, e.cell))]
    fluent_pixels = np.asarray(Image.open(io.BytesIO(pictures["fluent"][0])))
    # Half transparent blue on white.
    assert np.abs(fluent_pixels.astype(int) - (127, 127, 252)).max() <= 2


@pytest.fixture
def fetched(packages, monkeypatch):
    order = dict(
        zip(
            (p.name for p in (emoji_module.SHEETS, emoji_module.FLUENT, emoji_module.KEYWORDS)),
            packages,
            strict=True,
        )
    )
    monkeypatch.setattr(emoji_module, "fetch", lambda package, cache: order[package.name])


SMALL = SimulatorConfig(sessions=50)


def test_writes_a_dataset(fetched, tmp_path):
    out = tmp_path / "emoji"
    assert write_emoji(out, cache=tmp_path, simulator=SMALL) == 3
    rows = pq.read_table(out / "images.parquet").to_pylist()
    assert len(rows) == 15
    by_vendor = {v: [r for r in rows if r["vendor"] == v] for v in (*VENDORS, "fluent")}
    assert {v: {r["split"] for r in of} for v, of in by_vendor.items()} == {
        "apple": {"gallery"},
        "google": {"train"},
        "twitter": {"train"},
        "facebook": {"val"},
        "fluent": {"test"},
    }
    for vendor, of in by_vendor.items():
        assert [r["instance"] for r in of] == KEPT
        labels = [None] * 3 if vendor in ("google", "twitter") else KEPT
        assert [r["label"] for r in of] == labels
    log = pq.read_table(out / "impressions.parquet").to_pylist()
    assert {r["image_id"].split("/")[0] for r in log} <= {"apple", "google", "twitter"}
    assert {r["query"] for r in log} == {"shared word"}
    with pytest.raises(DataError, match="exists already"):
        write_emoji(out, cache=tmp_path, simulator=SMALL)


def test_limit_and_labelled(fetched, tmp_path):
    count = write_emoji(
        tmp_path / "a", cache=tmp_path, simulator=SMALL, limit=2, labelled=("apple", "google")
    )
    rows = pq.read_table(tmp_path / "a" / "images.parquet").to_pylist()
    assert count == 2
    assert len(rows) == 10
    assert {r["vendor"] for r in rows if r["label"] is None} == {"twitter"}
    for share in (0, 1.5):
        with pytest.raises(ConfigError, match=r"labelled_share must lie in \(0, 1\], got"):
            write_emoji(tmp_path / "b", cache=tmp_path, labelled_share=share)
    with pytest.raises(ConfigError, match="labelled vendors must be of apple, google, twitter"):
        write_emoji(tmp_path / "b", cache=tmp_path, labelled=("facebook",))
    with pytest.raises(ConfigError, match="limit must be at least 2"):
        write_emoji(tmp_path / "b", cache=tmp_path, limit=1)


def test_a_share_of_the_labels(fetched, tmp_path):
    def written(share, seed):
        out, simulator = tmp_path / f"{share}-{seed}", SimulatorConfig(sessions=50, seed=seed)
        write_emoji(
            out,
            cache=tmp_path,
            simulator=simulator,
            labelled=("apple", "google"),
            labelled_share=share,
        )
        rows = pq.read_table(out / "images.parquet").to_pylist()
        of = {v: {r["label"] for r in rows if r["vendor"] == v} - {None} for v in SPLITS}
        assert of["apple"] == of["google"]
        assert of["twitter"] == set()
        # What evaluation reads stays whole.
        assert of["facebook"] == of["fluent"] == set(KEPT)
        assert [r["instance"] for r in rows] == KEPT * 5
        return of["apple"], (out / "impressions.parquet").read_bytes()

    sizes, logs = set(), set()
    for seed in range(3):
        last = set()
        for share in (0.25, 0.5, 0.75, 1):
            told, log = written(share, seed)
            assert last <= told
            last = told
            sizes.add(len(told))
            logs.add(log)
        assert last == set(KEPT)
    assert len(sizes) > 1
    # Which labels are given changes no click.
    assert len(logs) == 3
