"""From a photo or a clip to crops with landmarks, confidences and head pose."""
