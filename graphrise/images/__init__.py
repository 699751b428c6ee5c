"""Encoded pictures: where they are, decoding them, packing them once for training."""
