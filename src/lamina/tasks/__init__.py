"""Tasks: loss or update, metrics, prediction. One file per task."""
