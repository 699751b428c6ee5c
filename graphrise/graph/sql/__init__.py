"""The builder's SQL: one text for every engine."""
