"""Triangle meshes: topology, normals, subdivision, alignment, files. Knows nothing of faces."""
