"""The exported model: signatures, their checks, SavedModel, ONNX and LiteRT files, a client."""
