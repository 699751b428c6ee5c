"""kNN edges from embeddings."""
