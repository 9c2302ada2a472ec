"""Looking inside a model: its layers, features and gradients."""
