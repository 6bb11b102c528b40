"""From prepared data sets to batches."""
