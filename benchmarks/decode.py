"""Decoding on one thread, and random access to encoded pictures."""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision.io
from PIL import Image

from benchmarks.containers import Act, containers, optional
from benchmarks.photos import photos
from benchmarks.rows import Row
from graphrise.images.decode import Picture, decode
from graphrise.images.jpeg import decode_jpeg
from graphrise.images.jpeg_header import read_header
from graphrise.train.folder import peak_mib

PICTURES = 512
_COPIES = 8
"""Of every picture in a container, under ids of their own: some 70 MB."""


def run(repetitions: int, seconds: float) -> list[Row]:
    """Measure everything, one timing of every variant a repetition.

    Args:
        repetitions: Timings of each variant.
        seconds: Of one timing.

    Returns:
        Rows. The ratio of a decoder is against the fastest bare one of the same call, of decoding
        at half size against decoding whole, of a container against plain files.

    Raises:
        GraphriseError: scikit-learn is not installed.
    """
    torch.set_num_threads(1)
    small, large = photos(PICTURES), photos(PICTURES, short=500)
    bare = _bare_decoders(small)
    rates = timed({**bare, **_ours(small)}, len(small), repetitions, seconds)
    best = max(bare, key=lambda name: float(np.median(rates[name])))
    rows = _rows(rates, "images/s", best, f"{PICTURES} JPEGs, short side 256, q90 4:2:0")
    rates = timed(_reduced_or_whole(large), len(large), repetitions, seconds)
    rows += _rows(rates, "images/s", "whole, resized", f"{PICTURES} JPEGs, short side 500, q90")
    many = small * _COPIES
    with tempfile.TemporaryDirectory() as folder, containers(many, Path(folder)) as places:
        rates = timed(places, len(many), repetitions, seconds)
    size = f"{len(many):,} JPEGs, random order, page cache warm"
    return rows + _rows(rates, "reads/s", "plain files", size)


def timed(
    acts: Mapping[str, Act], count: int, repetitions: int, seconds: float
) -> dict[str, list[float]]:
    """Calls a second of each act, over numbers below `count` in random order; interleaved."""
    order = np.random.default_rng(0).permutation(count).tolist()
    rates: dict[str, list[float]] = {name: [] for name in acts}
    for act in acts.values():  # pages, tables and caches of the first calls are not timed
        for number in order[:100]:
            act(number)
    for _ in range(repetitions):
        for name, act in acts.items():
            done, start = 0, time.perf_counter()
            while time.perf_counter() - start < seconds:
                for number in order[done % count :][:32]:
                    act(number)
                    done += 1
            rates[name].append(done / (time.perf_counter() - start))
    return rates


def _rows(rates: Mapping[str, Sequence[float]], unit: str, baseline: str, size: str) -> list[Row]:
    return [
        Row(
            case="decode",
            variant=name,
            metric="decode, one thread" if unit == "images/s" else "random read",
            values=values,
            unit=unit,
            baseline=baseline,
            baseline_values=rates[baseline],
            peak_mib=peak_mib(),
            size=size,
        )
        for name, values in rates.items()
    ]


def _bare_decoders(data: list[bytes]) -> dict[str, Act]:
    """Bytes to RGB at full size, as each library gives it."""
    import simplejpeg

    tensors = [torch.from_numpy(np.frombuffer(x, np.uint8).copy()) for x in data]
    rgb = torchvision.io.ImageReadMode.RGB

    def pillow(number: int) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(data[number])).convert("RGB"))

    def turbo(module: Any) -> Act:
        library = module.TurboJPEG()
        return lambda number: library.decode(data[number], pixel_format=module.TJPF_RGB)

    def opencv(module: Any) -> Act:
        module.setNumThreads(1)
        arrays = [np.frombuffer(x, np.uint8) for x in data]
        return lambda number: module.cvtColor(
            module.imdecode(arrays[number], module.IMREAD_COLOR), module.COLOR_BGR2RGB
        )

    return {
        "bare simplejpeg": lambda number: simplejpeg.decode_jpeg(data[number], "RGB"),
        "bare torchvision": lambda number: torchvision.io.decode_jpeg(tensors[number], rgb),
        "bare Pillow": pillow,
        **optional("bare PyTurboJPEG", "turbojpeg", turbo),
        **optional("bare OpenCV", "cv2", opencv),
    }


def _ours(data: list[bytes]) -> dict[str, Act]:
    """Bytes to a square in a batch."""
    acts: dict[str, Act] = {}
    for side in (256, 224):
        batch = np.empty((128, side, side, 3), dtype=np.uint8)

        def into_batch(number: int, side: int = side, batch: np.ndarray = batch) -> None:
            decode(data[number], side, batch[number % 128])

        acts[f"ours, {side} px square"] = into_batch
    return acts


def _reduced_or_whole(data: list[bytes]) -> dict[str, Act]:
    import simplejpeg

    out = np.empty((224, 224, 3), dtype=np.uint8)

    def whole(number: int) -> None:
        view = memoryview(data[number])
        pixels = decode_jpeg(view, read_header(view))
        box = (0.0, 0.0, float(pixels.shape[1]), float(pixels.shape[0]))
        out[...] = np.asarray(Picture(pixels, box).resized(224, 224, crop=True))

    return {
        "whole, resized": whole,
        "ours, at half size, resized": lambda number: decode(data[number], 224, out),
        "whole, not resized": lambda number: simplejpeg.decode_jpeg(data[number], "RGB"),
    }
