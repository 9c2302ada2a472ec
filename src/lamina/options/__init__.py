"""Conversion of plain values to typed options; the recipe. Imports no torch."""
