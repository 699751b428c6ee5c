"""graphrise: ultra-fine image embeddings from click logs, after Graph-RISE (arXiv 1902.10814)."""

__version__ = "0.1.0"
