"""Tensor operations that work alone: plain tensors in, plain tensors out."""
