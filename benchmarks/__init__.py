"""`python -m benchmarks CASE`: one case a file, one table, one JSON object a line."""
