"""From parameters to neutral shape, albedo and expression; one file per face model."""
