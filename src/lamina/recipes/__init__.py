"""Published training recipes, as package data."""
