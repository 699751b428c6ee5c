"""The code of the model card runs, without graphrise, and gives what `graphrise embed` gives."""

import io
import re
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from graphrise.config import EncoderConfig, ImageConfig
from graphrise.data.tables import read_images
from graphrise.evaluate.embed import embed_dataset
from graphrise.images.decode import decode
from graphrise.loader.augment import Augment
from graphrise.nn import Encoder

# As if never installed.
BLOCK = """
import sys
for name in ("graphrise", "lightning", "torch_geometric", "pyarrow", "duckdb", "faiss", "numba",
             "simplejpeg", "jsonargparse", "pandas", "sklearn"):
    sys.modules[name] = None
"""


def code_of(folder):
    """Heading of a section -> its Python code."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    sections = [part.split("\n", 1) for part in text.split("\n## ")[1:]]
    found = {title: re.findall(r"```python\n(.*?)```", body, re.DOTALL) for title, body in sections}
    return {title: blocks[0] for title, blocks in found.items() if blocks}


@pytest.fixture
def published(exported, finished, tmp_path):
    """(copy of the exported folder with a picture in it, that picture's embedding)."""
    dataset, run = finished
    folder = tmp_path / "encoder"
    shutil.copytree(exported[0], folder)
    row = read_images(dataset).table.to_pylist()[0]
    (folder / "picture.png").write_bytes(row["image"])
    file = tmp_path / "embeddings.parquet"
    embed_dataset(run, dataset, file, f"image_id={row['image_id']}")
    return folder, np.array(pq.read_table(file)["embedding"].to_pylist())


@pytest.mark.slow
def test_without_graphrise(published):
    folder, wanted = published
    code = code_of(folder)
    script = BLOCK + code["Pictures"]
    ways = ("With timm", "With ONNX Runtime", "With torch alone")
    for way in ways:
        script += f"{code[way]}\nprint('embedding', *[float(v) for v in z[0]])\n"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    found = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("embedding")]
    assert len(found) == len(ways)
    for values in found:
        np.testing.assert_allclose(np.array([values], dtype=float), wanted, rtol=0, atol=1e-5)


def test_the_block_blocks():
    done = subprocess.run(
        [sys.executable, "-c", BLOCK + "import graphrise"], capture_output=True, check=False
    )
    assert b"ModuleNotFoundError" in done.stderr


def test_with_graphrise(published, monkeypatch):
    folder, wanted = published
    monkeypatch.chdir(folder)
    code, names = code_of(folder), {}
    exec(code["Pictures"] + code["With graphrise"], names)
    np.testing.assert_allclose(names["z"].numpy(), wanted, rtol=0, atol=1e-6)


def smooth(width, height, mode="RGB"):
    """A picture with soft and hard edges."""
    rows, columns = np.mgrid[0:height, 0:width]
    bands = [
        127 + 120 * np.sin(columns / (3 + 2 * i)) * np.cos(rows / (5 + i))
        for i in range({"RGB": 3, "RGBA": 4, "L": 1}[mode])
    ]
    pixels = np.stack(bands, axis=-1).astype(np.uint8)
    pixels[height // 3 : height // 2, width // 4 : width // 2] = 255
    return Image.fromarray(pixels.squeeze(), mode=None)


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


PICTURES = {
    "wide": lambda: saved(smooth(101, 57), "PNG"),
    "high": lambda: saved(smooth(45, 90), "PNG"),
    "small, to be enlarged": lambda: saved(smooth(20, 17), "PNG"),
    "grey": lambda: saved(smooth(60, 41, "L"), "PNG"),
    "transparent": lambda: saved(smooth(70, 50, "RGBA"), "PNG"),
    "palette": lambda: saved(smooth(70, 50).quantize(16), "PNG", transparency=3),
    "webp": lambda: saved(smooth(70, 50), "WEBP", lossless=True),
    "jpeg": lambda: saved(smooth(63, 61), "JPEG", quality=90),
    "jpeg, colour at half the size": lambda: saved(smooth(58, 63), "JPEG", subsampling=2),
    **{
        f"jpeg, turned by {n}": lambda n=n: saved(smooth(61, 43), "JPEG", exif=turned(n))
        for n in range(2, 9)
    },
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """(encoder that sees 24 of 32 pixels, its published folder, the card's `read`)."""
    torch.manual_seed(0)
    encoder = Encoder(EncoderConfig(name="test_resnet", dim=16)).eval()
    encoder.shown = ImageConfig(size=24, crop_pct=0.75)
    folder = tmp_path_factory.mktemp("small")
    encoder.save_pretrained(folder)
    names = {}
    exec(code_of(folder)["Pictures"], names)
    return encoder, folder, names["read"]


def ours(encoder, data):
    """uint8 `[3, canvas, canvas]`, as the reader of `graphrise embed` decodes it."""
    side = encoder.shown.canvas
    out = np.empty((side, side, 3), dtype=np.uint8)
    decode(data, side, out)
    return torch.from_numpy(out).permute(2, 0, 1)


@pytest.mark.parametrize("kind", PICTURES)
def test_the_card_reads_the_same_pixels(small, tmp_path, kind):
    encoder, _, read = small
    data = PICTURES[kind]()
    (tmp_path / "picture").write_bytes(data)
    wanted = ours(encoder, data)[:, 4:28, 4:28]
    torch.testing.assert_close(read(tmp_path / "picture"), wanted, rtol=0, atol=0)


@torch.inference_mode()
def test_a_jpeg_that_we_decode_smaller(small, tmp_path):
    # The one difference that the card states: cosine 0.9986 or more on photographs.
    encoder, _, read = small
    data = saved(smooth(301, 227), "JPEG", quality=95)
    (tmp_path / "picture").write_bytes(data)
    pixels = read(tmp_path / "picture")
    prepare = Augment(encoder.shown, encoder.mean, encoder.std)
    card, embed = (encoder(prepare(x[None])) for x in (pixels, ours(encoder, data)))
    assert not torch.equal(pixels, ours(encoder, data)[:, 4:28, 4:28])
    assert float((card * embed).sum()) > 0.99
