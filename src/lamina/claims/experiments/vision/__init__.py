"""Claims about image classifiers."""
