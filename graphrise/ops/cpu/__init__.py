"""Loops that numba compiles for the CPU; imported only where an op chose that backend."""
