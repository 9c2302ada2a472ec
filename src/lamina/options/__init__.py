"""Plain values into typed options; the recipe. Imports no torch."""
