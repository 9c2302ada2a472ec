"""A run served over HTTP: predict, generate, embed, health, metrics."""
