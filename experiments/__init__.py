"""Trainings that are compared, as lists, and what runs them."""
