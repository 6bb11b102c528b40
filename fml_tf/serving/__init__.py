"""The exported model: signatures, their checks, the SavedModel and a client."""
