"""Remaining life of units: one number for a window, with an interval."""
