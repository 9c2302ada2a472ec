"""Runs on tables."""
