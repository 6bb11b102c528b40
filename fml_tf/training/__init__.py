"""Schedule, train step, checkpoints, summaries and distribution."""
