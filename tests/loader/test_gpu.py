"""On a GPU: augmentation as on the CPU, and pinned batches."""

import numpy as np
import pytest
import torch

from graphrise.config import ImageConfig
from graphrise.loader.augment import Augment, augment_draws

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("options", [{}, {"crop_scale": (0.3, 1.0), "flip": True, "erase": 0.5}])
def test_augmentation_equals_the_cpus(options):
    config = ImageConfig(size=56, crop_pct=0.875, **options)
    images = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (6, 3, 64, 64), dtype=np.uint8)
    )
    draws = augment_draws(3, 1, np.arange(6))
    augment = Augment(config, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    there = augment.to("cuda")(images.to("cuda"), draws.to("cuda")).cpu()
    here = augment.to("cpu")(images, draws)
    # A sample between two pixels may be rounded the other way: few pixels, by little.
    assert (there - here).abs().mean() < 1e-3
    assert ((there - here).abs() > 0.05).float().mean() < 0.01
