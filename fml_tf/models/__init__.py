"""Encoders, face models, and the reconstructor that joins one of each with the camera."""
