"""What a model is trained for: loss or update, metrics, prediction, figures. One file a task."""
