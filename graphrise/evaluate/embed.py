"""Images to embeddings, in batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from graphrise.config import ImageConfig
from graphrise.data.files import whole_file
from graphrise.errors import DataError
from graphrise.images.dataset import open_images
from graphrise.images.readers import FeatureReader, Reader, reader_of
from graphrise.loader.as_read import AsRead
from graphrise.loader.augment import Augment
from graphrise.nn.encoder import Encoder, load_encoder
from graphrise.nn.inputs import fitted


@torch.inference_mode()
def embed(
    encoder: Encoder,
    reader: Reader,
    shown: ImageConfig | None = None,
    batch_size: int = 256,
) -> np.ndarray:
    """Embed every image of a reader, without augmentation and in full precision.

    Args:
        encoder: Put into evaluation mode and back; its device is used.
        reader: N images.
        shown: Size and crop that the encoder wants; None: what the reader gives.
        batch_size: Images at a time.

    Returns:
        float32 `[N, D]`.

    Raises:
        ConfigError: The encoder does not take such images.
        DataError: An image cannot be read.
    """
    fitted(encoder.config, reader.width)
    device = next(encoder.parameters()).device
    prepare = _preparation(encoder, reader, shown).to(device)
    training = encoder.training
    encoder.eval()
    parts = [
        encoder(prepare(reader.read(positions).to(device))).float().cpu()
        for positions in torch.arange(len(reader)).split(batch_size)
    ]
    encoder.train(training)
    return torch.cat(parts).numpy() if parts else np.empty((0, encoder.dim), dtype=np.float32)


def _preparation(encoder: Encoder, reader: Reader, shown: ImageConfig | None) -> nn.Module:
    if isinstance(reader, FeatureReader):
        return AsRead()
    return Augment(shown or ImageConfig(size=reader.size), encoder.mean, encoder.std)


def embed_dataset(
    run: Path, dataset: Path, out: Path, where: str | None = None, *, overwrite: bool = False
) -> int:
    """Embed a dataset's images with a run's encoder into a Parquet file.

    Args:
        run: Finished run folder.
        dataset: Dataset folder.
        out: File to write: `image_id`, `embedding` (fixed-size list of D float32).
        where: `column=value`; None: all images.
        overwrite: Replace an earlier file.

    Returns:
        Number of embeddings.

    Raises:
        DataError: `out` exists, the run is not finished, or an image cannot be read.
    """
    if out.exists() and not overwrite:
        raise DataError(f"{out}: exists already; give --overwrite to replace it")
    encoder, shown = load_encoder(run)
    images, store = open_images(dataset)
    rows = np.arange(len(images)) if where is None else images.select(where)
    vectors = embed(encoder, reader_of(store, rows, shown.canvas, cache_mib=0), shown)
    table = pa.table(
        {
            "image_id": images.table.column("image_id").take(pa.array(rows)),
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), encoder.dim),
        }
    )
    with whole_file(out) as temporary:
        pq.write_table(table, temporary)
    return rows.size
