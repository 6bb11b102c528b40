"""Pictures of data, template and results, for the eye to check."""
