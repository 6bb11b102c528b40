"""What is given: the face template, its expression basis and its deformation graph."""
