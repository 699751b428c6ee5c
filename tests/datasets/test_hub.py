"""Image sets of the Hub: the Parquet files that they consist of."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graphrise.errors import DataError


def write(file, rows, features=None):
    table = pa.Table.from_pylist(rows)
    if features is not None:
        info = json.dumps({"info": {"features": features}}).encode()
        table = table.replace_schema_metadata({b"huggingface": info})
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file)


@pytest.fixture
def source(make, tmp_path):
    """A set with class names, in two forms of file names."""
    features = {
        "img": {"_type": "Image"},
        "fine": {"names": ["cat", "dog"], "_type": "ClassLabel"},
        "size": {"dtype": "int64", "_type": "Value"},
    }

    def rows(*labels):
        return [
            {"img": {"bytes": make.noisy((9, 9, 9), i), "path": None}, "fine": label, "size": i}
            for i, label in enumerate(labels)
        ]

    folder = tmp_path / "source"
    write(folder / "data/train-00000-of-00002-1a2b.parquet", rows(1, 0), features)
    write(folder / "data/train-00001-of-00002-3c4d.parquet", rows(1), features)
    write(folder / "validation/0000.parquet", rows(-1, 0), features)
    return folder


def test_a_set_with_class_names(script, source, opened, tmp_path):
    out = tmp_path / "out"
    script("hub").main(source, out, image="img", label="fine", columns=("size",))
    assert {i: (r["split"], r["label"], r["size"]) for i, r in opened(out).items()} == {
        "train-0": ("train", "dog", "0"),
        "train-1": ("train", "cat", "1"),
        "train-2": ("train", "dog", "0"),
        "validation-0": ("validation", None, "0"),
        "validation-1": ("validation", "cat", "1"),
    }


def test_a_set_without_labels(script, make, opened, tmp_path):
    write(tmp_path / "source/test.parquet", [{"image": make.noisy((1, 2, 3), 0)}])
    script("hub").main(tmp_path / "source", tmp_path / "out", label=None)
    assert list(opened(tmp_path / "out")["test-0"]) == ["image_id", "image", "split"]


def test_it_is_fetched_only_when_asked(script, source, tmp_path, monkeypatch):
    import huggingface_hub

    asked = []

    def snapshot_download(name, **options):
        asked.append((name, options["repo_type"], options["local_dir"]))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    main = script("hub").main
    main(source, tmp_path / "out", image="img", label="fine")
    assert asked == []
    main(source, tmp_path / "again", image="img", label="fine", download="me/set")
    assert asked == [("me/set", "dataset", source)]


def test_wrong_columns_and_folders(script, source, tmp_path):
    main = script("hub").main
    with pytest.raises(DataError, match="column 'image' is missing; it has img, fine, size"):
        main(source, tmp_path / "out", label="fine")
    with pytest.raises(DataError, match=r"a picture must be bytes.* it is int"):
        main(source, tmp_path / "out", image="size", label=None)
    with pytest.raises(DataError, match=r"holds no .parquet file; fetch a set with --download"):
        main(tmp_path / "nowhere", tmp_path / "out")
