"""Meshes, alignment, crops and the order of landmarks. Knows nothing of learning."""
