"""Runs of adversarial networks."""
