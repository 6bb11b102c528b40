"""Refines what a network answered, so that it fits this person's pictures (ours)."""
