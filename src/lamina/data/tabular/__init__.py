"""Tabular files of any content: reading, column types, targets."""
