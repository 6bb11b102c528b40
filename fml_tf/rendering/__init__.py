"""Camera, pose, spherical-harmonics light, vertex image formation and rasteriser."""
