"""A dataset folder of Parquet tables: reading, checking, and making two of them (emoji, digits)."""
