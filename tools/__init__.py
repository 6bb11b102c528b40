"""Scripts about the project; not installed."""
