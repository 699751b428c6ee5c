"""Write Cars-196 as a dataset folder: pictures of cars by make, model and year.

    python datasets/cars.py SOURCE OUT

16,185 pictures of 196 models, about 2 GB (Krause et al., 3dRR 2013). Licence: not stated. Expected
is the form that work on retrieval uses: `cars_annos.mat` and the folder `car_ims` of all pictures.
The other form (`devkit`, `cars_train`, `cars_test`) is not read: its pictures have other names, and
its split is one for classification. Needs `pip install scipy`, which reads the .mat. Checked: every
listed picture is there; counts that are not the published ones are reported.

Splits: `train` (classes 1 to 98, 8,054 pictures), `test` (99 to 196, 8,131), as in Song et al.,
arXiv 1511.06452. `label` is the model. Protocol: recall@1, 2, 4 and 8, every test picture a query
among all other test pictures:

    graphrise evaluate RUN --gallery split=test --queries split=test
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from graphrise.cli.script import run_script
from graphrise.data.listing import Missing, list_images, require_source
from graphrise.data.mat import read_strings, read_structs

TRAIN_CLASSES = 98
PUBLISHED = {"train": 8_054, "test": 8_131}


def rows(source: Path) -> Iterator[dict[str, str]]:
    """Images of cars_annos.mat."""
    file = source / "cars_annos.mat"
    names = read_strings(file, "class_names")
    for path, number in read_structs(file, "annotations", ("relative_im_path", "class")):
        yield {
            "image_id": Path(str(path)).stem,
            "path": str(path),
            "split": "train" if number <= TRAIN_CLASSES else "test",
            "label": names[number - 1],
        }


def main(source: Path, out: Path, missing: Missing = "error", overwrite: bool = False) -> None:
    """Write the dataset folder of Cars-196.

    Args:
        source: Folder with `cars_annos.mat` and `car_ims`.
        out: Folder to write.
        missing: A listed picture that is not there: stop, or leave it out.
        overwrite: Replace an earlier folder.
    """
    require_source(source, "cars_annos.mat", "car_ims")
    listed = list_images(out, source, rows(source), missing=missing, overwrite=overwrite)
    print(listed.report(out, PUBLISHED))


if __name__ == "__main__":
    run_script(main)
