"""Folders laid out as gated data sets are, from what anyone can get."""
