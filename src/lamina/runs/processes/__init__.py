"""A run of several processes."""
