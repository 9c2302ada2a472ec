"""Pages and figures for images."""
