"""From parameters to neutral shape, albedo and expression; one file a face model."""
