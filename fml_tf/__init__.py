"""FML: Face Model Learning from Videos (CVPR 2019) in TensorFlow 2 and Keras 3."""

__version__ = "0.1.0"
