"""Published recipes."""
