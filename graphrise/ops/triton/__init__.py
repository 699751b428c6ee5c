"""Triton kernels, one idea a file; imported only where an op chose that backend."""
