"""Stanford Online Products, CUB, Cars-196 and In-Shop from tiny folders in their real layout."""

from collections import Counter

import numpy as np
import pytest

from graphrise.errors import DataError

HEADER = "image_id class_id super_class_id path\n"
SOP = {
    "Ebay_train.txt": HEADER
    + "1 1 1 bicycle_final/111085122871_0.JPG\n2 1 1 bicycle_final/111085122871_1.JPG\n",
    "Ebay_test.txt": HEADER + "3 11319 10 coffee_maker_final/2_0.JPG\n",
    "bicycle_final/111085122871_0.JPG": None,
    "bicycle_final/111085122871_1.JPG": None,
    "coffee_maker_final/2_0.JPG": None,
}
CUB = {
    "images.txt": "1 001.Black_footed_Albatross/a.jpg\n2 100.Brown_Pelican/b.jpg\n"
    "3 101.W/c d.jpg\n",
    "image_class_labels.txt": "1 1\n2 100\n3 101\n",
    "classes.txt": "1 001.Black_footed_Albatross\n100 100.Brown_Pelican\n101 101.W\n",
    "images/001.Black_footed_Albatross/a.jpg": None,
    "images/100.Brown_Pelican/b.jpg": None,
    "images/101.W/c d.jpg": None,
}
INSHOP = {
    "Eval/list_eval_partition.txt": "3\nimage_name item_id evaluation_status\n"
    "img/WOMEN/Dresses/id_00000002/02_1_front.jpg      id_00000002 train\n"
    "img/MEN/Denim/id_00000001/01_1_front.jpg          id_00000001 query\n"
    "img/MEN/Denim/id_00000001/01_2_side.jpg           id_00000001 gallery\n",
    "Img/img/WOMEN/Dresses/id_00000002/02_1_front.jpg": None,
    "Img/img/MEN/Denim/id_00000001/01_1_front.jpg": None,
    "Img/img/MEN/Denim/id_00000001/01_2_side.jpg": None,
}


def test_stanford_online_products(script, put, opened, tmp_path, capsys):
    script("sop").main(put(SOP), tmp_path / "out")
    rows = opened(tmp_path / "out")
    assert {i: (r["split"], r["label"], r["super_class"]) for i, r in rows.items()} == {
        "1": ("train", "1", "bicycle"),
        "2": ("train", "1", "bicycle"),
        "3": ("test", "11319", "coffee_maker"),
    }
    printed = capsys.readouterr().out
    assert "3 images (2 train, 1 test)" in printed
    assert "1 images of split test, 60,502 are published" in printed


def test_cub_splits_by_class(script, put, opened, tmp_path):
    script("cub").main(put(CUB), tmp_path / "out")
    rows = opened(tmp_path / "out")
    assert [r["split"] for r in rows.values()] == ["train", "train", "test"]
    assert rows["1"]["label"] == "001.Black_footed_Albatross"


def test_cub_without_a_class_for_an_image(script, put, tmp_path):
    source = put({**CUB, "image_class_labels.txt": "1 1\n3 101\n"})
    with pytest.raises(DataError, match=r"image_class_labels.txt: image 2 .* has no class"):
        script("cub").main(source, tmp_path / "out")


@pytest.fixture
def cars(put):
    """Classes 1, 98 and 99 of 196, in the .mat that MATLAB's struct array becomes."""
    io = pytest.importorskip("scipy.io")
    source = put({f"car_ims/00000{i}.jpg": None for i in (1, 2, 3)})
    kind = [("relative_im_path", object), ("bbox_x1", object), ("class", object)]
    annotations = np.array(
        [(f"car_ims/00000{i}.jpg", 5, c) for i, c in ((1, 1), (2, 98), (3, 99))], dtype=kind
    )
    names = np.array([f"Car {i} 2012" for i in range(1, 197)], dtype=object)
    io.savemat(source / "cars_annos.mat", {"annotations": annotations, "class_names": names})
    return source


def test_cars_splits_by_class(script, cars, opened, tmp_path):
    script("cars").main(cars, tmp_path / "out")
    assert {i: (r["split"], r["label"]) for i, r in opened(tmp_path / "out").items()} == {
        "000001": ("train", "Car 1 2012"),
        "000002": ("train", "Car 98 2012"),
        "000003": ("test", "Car 99 2012"),
    }


def test_cars_with_another_mat(script, cars, tmp_path):
    (cars / "cars_annos.mat").write_bytes(b"not a .mat")
    with pytest.raises(DataError, match=r"cars_annos.mat: not a readable .mat"):
        script("cars").main(cars, tmp_path / "out")


def test_inshop_keeps_its_gallery_out_of_the_graph(script, put, opened, tmp_path):
    script("inshop").main(put(INSHOP), tmp_path / "out")
    rows = opened(tmp_path / "out")
    assert Counter(r["split"] for r in rows.values()) == {"train": 1, "query": 1, "index": 1}
    row = rows["img/MEN/Denim/id_00000001/01_2_side.jpg"]
    assert (row["split"], row["label"], row["category"]) == ("index", "id_00000001", "MEN/Denim")


def test_inshop_with_everything_in_one_folder(script, put, opened, tmp_path):
    flat = {name.removeprefix("Eval/").removeprefix("Img/"): of for name, of in INSHOP.items()}
    script("inshop").main(put(flat), tmp_path / "out")
    assert len(opened(tmp_path / "out")) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("3\n", "4\n"), "lists 3 images, its first line says 4"),
        ((" gallery", " gallry"), "of part 'gallry', not train, query, gallery"),
        ((" id_00000001 query", " query"), "line 4 has 2 fields, expected are 3"),
    ],
)
def test_inshop_with_a_damaged_list(script, put, tmp_path, change, message):
    name = "Eval/list_eval_partition.txt"
    source = put({**INSHOP, name: INSHOP[name].replace(*change, 1)})
    with pytest.raises(DataError, match=message):
        script("inshop").main(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["sop", "cub", "cars", "inshop"])
def test_another_folder_is_told_what_is_expected(script, put, tmp_path, name):
    expected = {
        "sop": "Ebay_train.txt, Ebay_test.txt",
        "cub": "images.txt, image_class_labels.txt, classes.txt, images",
        "cars": "cars_annos.mat, car_ims",
        "inshop": "list_eval_partition.txt, img",
    }
    source = put({"README": "something else"})
    with pytest.raises(DataError, match=f"not found; expected is .* holds {expected[name]}$"):
        script(name).main(source, tmp_path / "out")
