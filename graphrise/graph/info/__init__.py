"""What is in a graph: counts, components, homophily, checks."""
