"""Encoded pictures: where they are, decoding them, packing them once for training."""

from graphrise.images.dataset import open_images as open_images
from graphrise.images.reader import ImageReader as ImageReader
