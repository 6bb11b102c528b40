"""What an export is checked with."""
