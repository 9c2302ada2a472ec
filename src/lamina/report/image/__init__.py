"""Pages and figures of what a model sees in an image."""
