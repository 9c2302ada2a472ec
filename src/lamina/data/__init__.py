"""Data: sources, splits, preprocessing and batches."""
