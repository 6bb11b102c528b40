"""A page that shows a face in 3D, and the glTF that it holds."""
