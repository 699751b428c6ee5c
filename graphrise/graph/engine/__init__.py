"""Who runs the builder's SQL."""
