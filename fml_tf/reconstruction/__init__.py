"""Frames in, a reconstruction out: its files and pictures."""
