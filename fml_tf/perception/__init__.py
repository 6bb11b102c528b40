"""What a network for face recognition sees in a picture."""
