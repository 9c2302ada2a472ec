"""Runs of architecture search by weight sharing."""
