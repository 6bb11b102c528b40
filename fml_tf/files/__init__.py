"""Reading and writing: images, video, meshes, glTF; files are written whole or not at all."""
