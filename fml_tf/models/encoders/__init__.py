"""Networks from frames to the parameters of a person and of each frame; one file per network."""
