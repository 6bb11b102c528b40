"""The terms of the training objective, one per file, and their weighted sum."""
