"""ImageNet, iNaturalist, Landmarks, UnED and class folders from tiny folders in their layout."""

import json

import numpy as np
import pytest

from graphrise.errors import DataError

TRAIN = {"train/n01440764/n01440764_10026.JPEG": None, "train/n02119789/n02119789_1.JPEG": None}
FLAT = {f"val/ILSVRC2012_val_0000000{i}.JPEG": None for i in (1, 2)}


def splits_and_labels(rows):
    return {i: (r["split"], r["label"]) for i, r in rows.items()}


def test_imagenet_with_val_by_class(script, put, opened, tmp_path):
    val = {"val/n02119789/ILSVRC2012_val_00000001.JPEG": None}
    script("imagenet").main(put({**TRAIN, **val}), tmp_path / "out")
    assert splits_and_labels(opened(tmp_path / "out")) == {
        "n01440764_10026": ("train", "n01440764"),
        "n02119789_1": ("train", "n02119789"),
        "ILSVRC2012_val_00000001": ("val", "n02119789"),
    }


def test_imagenet_with_kaggles_truth(script, put, opened, tmp_path):
    source = put({**TRAIN, **FLAT})
    truth = tmp_path / "LOC_val_solution.csv"
    truth.write_text(
        "ImageId,PredictionString\n"
        "ILSVRC2012_val_00000002,n01440764 85 1 499 272 n01440764 1 2 3 4\n"
        "ILSVRC2012_val_00000001,n02119789 0 0 9 9\n"
    )
    script("imagenet").main(source, tmp_path / "out", truth=truth)
    found = splits_and_labels(opened(tmp_path / "out"))
    assert found["ILSVRC2012_val_00000001"] == ("val", "n02119789")
    assert found["ILSVRC2012_val_00000002"] == ("val", "n01440764")


def test_imagenet_with_the_devkits_truth(script, put, opened, tmp_path):
    io = pytest.importorskip("scipy.io")
    source = put({**TRAIN, **FLAT})
    truth = tmp_path / "ILSVRC2012_validation_ground_truth.txt"
    truth.write_text("2\n1\n")
    kind = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object)]
    synsets = np.array([(1, "n02119789", "fox"), (2, "n01440764", "tench")], dtype=kind)
    io.savemat(tmp_path / "meta.mat", {"synsets": synsets})
    script("imagenet").main(source, tmp_path / "out", truth=truth)
    found = splits_and_labels(opened(tmp_path / "out"))
    assert found["ILSVRC2012_val_00000001"] == ("val", "n01440764")
    assert found["ILSVRC2012_val_00000002"] == ("val", "n02119789")


def test_imagenet_with_flat_val_asks_for_the_truth(script, put, tmp_path):
    with pytest.raises(DataError, match="its pictures are flat: give --truth FILE"):
        script("imagenet").main(put({**TRAIN, **FLAT}), tmp_path / "out")


def coco(split, first, *species):
    """Annotations in the order of neither images nor categories."""
    images = [{"id": first + i, "file_name": f"{split}/{s}/{i}.jpg"} for i, s in enumerate(species)]
    names = sorted({*species, "Zea mays"})
    return {
        "info": {"year": 2021, "note": [1, 2]},
        "images": images,
        "annotations": [
            {"id": 9 - i, "image_id": first + i, "category_id": names.index(s)}
            for i, s in reversed(list(enumerate(species)))
        ],
        "licenses": [],
        "categories": [
            {"id": i, "name": n, "supercategory": "Birds", "genus": n.split()[0], "class": "Aves"}
            for i, n in enumerate(names)
        ],
    }


def inaturalist(train, val):
    lists = {train: coco(train.removesuffix(".json"), 0, "Pica pica", "Zea mays")}
    lists[val] = coco("val", 7, "Pica pica")
    pictures = {image["file_name"]: None for of in lists.values() for image in of["images"]}
    return {name: json.dumps(of) for name, of in lists.items()} | pictures


@pytest.mark.parametrize("mini", [False, True])
def test_inaturalist_2021(script, put, opened, tmp_path, mini):
    train = "train_mini" if mini else "train"
    source = put(inaturalist(f"{train}.json", "val.json"))
    script("inaturalist").main(source, tmp_path / "out", mini=mini)
    rows = opened(tmp_path / "out")
    assert splits_and_labels(rows) == {
        f"{train}/Pica pica/0.jpg": ("train", "Pica pica"),
        f"{train}/Zea mays/1.jpg": ("train", "Zea mays"),
        "val/Pica pica/0.jpg": ("val", "Pica pica"),
    }
    row = rows["val/Pica pica/0.jpg"]
    assert (row["supercategory"], row["class"], row["genus"]) == ("Birds", "Aves", "Pica")
    assert row["kingdom"] is None


def test_inaturalist_2017(script, put, opened, tmp_path):
    source = put(
        {
            "train2017.json": json.dumps(coco("train_val_images", 0, "Pica pica")),
            "val2017.json": json.dumps(coco("train_val_images", 5, "Zea mays")),
            "train_val_images/Pica pica/0.jpg": None,
            "train_val_images/Zea mays/0.jpg": None,
        }
    )
    script("inaturalist").main(source, tmp_path / "out", year=2017)
    rows = opened(tmp_path / "out")
    assert [r["split"] for r in rows.values()] == ["train", "val"]
    assert "genus" not in next(iter(rows.values()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["annotations"].pop(), "Pica pica/0.jpg has no annotation"),
        (lambda d: d["categories"].pop(0), "not iNaturalist's annotations, lacks 0"),
        (lambda d: d["images"][0].pop("file_name"), "lacks 'file_name'"),
    ],
)
def test_inaturalist_with_damaged_annotations(script, put, tmp_path, change, message):
    files = inaturalist("train.json", "val.json")
    damaged = json.loads(str(files["train.json"]))
    change(damaged)
    source = put({**files, "train.json": json.dumps(damaged)})
    with pytest.raises(DataError, match=message):
        script("inaturalist").main(source, tmp_path / "out")


LANDMARKS = {
    "train_clean.csv": "landmark_id,images\n1,0123a 0124a\n7,abcd\n",
    "train.csv": "id,url,landmark_id\n0123a,http://a,1\n9999,http://b,3\n",
    "index_image_to_landmark.csv": "id,landmark_id\n5550,1\n5551,1\n5552,2\n",
    "retrieval_solution_v2.1.csv": "id,images,Usage\n"
    "7770,5552 5551 5550,Public\n7771,None,Private\n7772,5552,Private\n",
    **{f"train/{'/'.join(i[:3])}/{i}.jpg": None for i in ("0123a", "0124a", "abcd", "9999")},
    **{f"index/5/5/5/{i}.jpg": None for i in ("5550", "5551", "5552")},
    **{f"test/7/7/7/{i}.jpg": None for i in ("7770", "7771", "7772")},
}


def test_landmarks(script, put, opened, tmp_path, capsys):
    script("landmarks").main(put(LANDMARKS), tmp_path / "out")
    rows = opened(tmp_path / "out")
    found = splits_and_labels(rows)
    assert found["0124a"] == ("train", "1")
    assert found["5550"] == ("index", "i1")  # another landmark than the training set's 1
    assert found["7770"] == ("test", "i1")
    assert found["7772"] == ("test", "i2")
    assert "7771" not in found
    assert (rows["7770"]["usage"], rows["7772"]["usage"]) == ("Public", "Private")
    assert "1 test images without a solution left out" in capsys.readouterr().out


def test_landmarks_full_training_set_alone(script, put, opened, tmp_path):
    script("landmarks").main(put(LANDMARKS), tmp_path / "out", clean=False, train_only=True)
    assert splits_and_labels(opened(tmp_path / "out")) == {
        "0123a": ("train", "1"),
        "9999": ("train", "3"),
    }


def test_landmarks_with_another_list(script, put, tmp_path):
    source = put({**LANDMARKS, "train_clean.csv": "id,images\n1,0123a\n"})
    with pytest.raises(DataError, match="expected is 'landmark_id,images'"):
        script("landmarks").main(source, tmp_path / "out")


def test_uned(script, put, opened, tmp_path):
    def info(*images):
        return json.dumps([{"path": path, "class_id": label} for path, label in images])

    source = put(
        {
            "info_files/cars/train.json": info(("cars/car_ims/1.jpg", 0)),
            "info_files/cars/val.json": info(("cars/car_ims/2.jpg", 80)),
            "info_files/cars/test.json": info(("cars/car_ims/3.jpg", 100)),
            "info_files/gldv2/train.json": info(("gldv2/images/train/a.jpg", 0)),
            "info_files/gldv2/val.json": info(("gldv2/images/train/b.jpg", 1)),
            "info_files/gldv2/test.json": info(("gldv2/images/test/c.jpg", [5, 6])),
            "info_files/gldv2/index.json": info(("gldv2/images/train/a.jpg", 5)),
            **{f"images/cars/car_ims/{i}.jpg": None for i in (1, 2, 3)},
            **{f"images/gldv2/images/{n}.jpg": None for n in ("train/a", "train/b", "test/c")},
        }
    )
    script("uned").main(source, tmp_path / "out", domains=("cars", "gldv2"))
    rows = opened(tmp_path / "out")
    assert {r["set"]: r["label"] for r in rows.values()} == {
        "cars/train": "cars-0",
        "cars/val": "cars-80",
        "cars/test": "cars-100",
        "gldv2/train": "gldv2-0",
        "gldv2/val": "gldv2-1",
        "gldv2/test": "gldv2-5",
        "gldv2/index": "gldv2-5",
    }
    merged = {r["set"] for r in rows.values() if r["merged"] == "test"}
    assert merged == {"cars/test", "gldv2/index"}
    assert {r["merged"] for r in rows.values()} == {"test", None}
    with pytest.raises(DataError, match=r"info_files/sop/train.json.* not found"):
        script("uned").main(source, tmp_path / "other", domains=("sop",))


def test_class_folders_with_and_without_splits(script, put, opened, tmp_path, capsys):
    source = put({"train/cat/deep/a.PNG": None, "val/dog/b.jpg": None, "val/dog/notes.txt": "x"})
    main = script("imagefolder").main
    main(source, tmp_path / "out")
    assert splits_and_labels(opened(tmp_path / "out")) == {
        "train/cat/deep/a.PNG": ("train", "cat"),
        "val/dog/b.jpg": ("val", "dog"),
    }
    assert "1 files left out: no pictures by their suffix" in capsys.readouterr().out
    main(source / "train", tmp_path / "one", split="gallery")
    assert splits_and_labels(opened(tmp_path / "one")) == {"cat/deep/a.PNG": ("gallery", "cat")}


def test_class_folders_that_are_not(script, put, tmp_path):
    main = script("imagefolder").main
    with pytest.raises(DataError, match="expected is SPLIT/CLASS"):
        main(put({"cat/a.png": None}), tmp_path / "out")
    with pytest.raises(DataError, match="no such folder"):
        main(tmp_path / "nowhere", tmp_path / "out")
