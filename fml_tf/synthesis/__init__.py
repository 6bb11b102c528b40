"""Pictures of synthetic people with known truth: identity, skin, light, camera, detector."""
