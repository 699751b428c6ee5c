"""The model card: what the encoder is, and code that loads it, run by the tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphrise.nn.encoder import Encoder

_START = """\
---
library_name: timm
pipeline_tag: image-feature-extraction
tags:
- graphrise
---

# Image encoder, {dim} dimensions

`{name}` of timm and a projection to {dim} dimensions, trained with graphrise, after Graph-RISE
(Juan et al., arXiv 1902.10814). {length}

The code below is run in this folder.
"""

_LENGTH = {
    True: "Embeddings have length 1: the inner product of two is their cosine.",
    False: "Embeddings are not normalised.",
}

_ORIGIN = """
| | |
|---|---|
{origin}"""

_PICTURES = '''
## Pictures

RGB, turned upright by their EXIF orientation, transparent parts white. The largest centred square
is resized to {canvas} x {canvas} pixels (Pillow, bicubic, antialiased){centre}.
Values are divided by 255, less the mean {mean}, over the standard deviation {std}.

```python
from PIL import Image, ImageOps
from torchvision.transforms.functional import pil_to_tensor


def read(file):
    """Path of a picture -> uint8 [3, {size}, {size}]."""
    image = ImageOps.exif_transpose(Image.open(file)).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    image = ImageOps.fit(image, ({canvas}, {canvas}), Image.Resampling.BICUBIC)
    return pil_to_tensor(image{crop})
```

`graphrise embed` reads the same pixels, but for these: a JPEG whose short side is {twice} pixels or
more is decoded at a half, a quarter or an eighth of its size, which is faster; a picture with a
short side of {canvas} pixels is cropped at whole pixels; 16-bit grey is scaled to 8 bits, where
Pillow cuts it off. timm's own transform knows nothing of EXIF and transparency, and resizes before
it crops: its embeddings are further off.
'''

_TIMM = """
## With timm

Needs torch, torchvision, timm and safetensors. From the Hub:
`timm.create_model("hf-hub:USER/NAME", pretrained=True)`.

```python
import timm
import torch
{imports}
pixels = torch.stack([read("picture.png")])
model = timm.create_model("local-dir:.", checkpoint_path="model.safetensors").eval()
mean = torch.tensor({mean}).view(3, 1, 1)
std = torch.tensor({std}).view(3, 1, 1)
with torch.inference_mode():
    z = model((pixels / 255 - mean) / std)
{head}{normalize}```

`z` is float32 `[B, {dim}]`.
"""

_HEAD = """\
    z = torch.nn.functional.linear(z, **load_file("projection.safetensors"))
"""

_NORMALIZE = """\
    z = torch.nn.functional.normalize(z, dim=1)
"""

_GRAPHRISE = """
## With graphrise

```python
import torch

from graphrise.loader.augment import Augment
from graphrise.nn import Encoder

pixels = torch.stack([read("picture.png")])
encoder = Encoder.from_pretrained(".")  # on the Hub: "USER/NAME"
with torch.inference_mode():
    z = encoder(Augment(encoder.shown, encoder.mean, encoder.std)(pixels))
```

`graphrise.evaluate.embed.embed` embeds a data set.
"""

_ONNX = """
## With ONNX Runtime

`model.onnx` takes uint8 `[B, 3, {size}, {size}]` and normalises by itself. {found}

```python
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
pixels = np.stack([np.asarray(read("picture.png"))])
(z,) = session.run(None, {{"pixels": pixels}})
```
"""

_PROGRAM = """
## With torch alone

`model.pt2` (torch.export) takes uint8 `[B, 3, {size}, {size}]` and normalises by itself. {found}

```python
import torch

pixels = torch.stack([read("picture.png")])
z = torch.export.load("model.pt2").module()(pixels)
```
"""

_SECTIONS = {"model.onnx": _ONNX, "model.pt2": _PROGRAM}

_LICENCE = """
## Licence

Not stated. Whoever publishes this encoder sets it: `license:` in the header of this file. It
depends on the images, on the log, and on the weights that training began with.
"""


def card_text(
    encoder: Encoder,
    origin: Mapping[str, str],
    exported: Mapping[str, str],
    *,
    one_file: bool,
) -> str:
    """README.md of a published encoder.

    Args:
        encoder: `shown` must be set.
        origin: Where it comes from, name to text.
        exported: Further files, `model.onnx` or `model.pt2`, to a sentence on their check.
        one_file: As `write_encoder` gave it.
    """
    assert encoder.shown is not None
    size, canvas = encoder.shown.size, encoder.shown.canvas
    first, whole = round((canvas - size) / 2), canvas == size  # as loader.crop
    values = {
        "name": encoder.backbone.pretrained_cfg["architecture"],
        "dim": encoder.dim,
        "size": size,
        "canvas": canvas,
        "twice": 2 * canvas,
        "mean": list(encoder.mean),
        "std": list(encoder.std),
        "length": _LENGTH[encoder.normalize],
        "centre": "" if whole else f"; the central {size} x {size} are kept",
        "crop": "" if whole else f".crop(({first}, {first}, {first + size}, {first + size}))",
        "imports": "" if one_file else "from safetensors.torch import load_file\n",
        "head": "" if one_file else _HEAD,
        "normalize": _NORMALIZE if encoder.normalize else "",
        "origin": "".join(f"| {name} | {value} |\n" for name, value in origin.items()),
    }
    text = _START + (_ORIGIN if origin else "") + _PICTURES + _TIMM + _GRAPHRISE
    text = text.format(**values)
    for name, found in exported.items():
        text += _SECTIONS[name].format(**values, found=found)
    return text + _LICENCE
