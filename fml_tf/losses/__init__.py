"""The terms of the training objective, one a file, and their weighted sum."""
