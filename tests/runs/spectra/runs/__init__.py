"""Runs on spectra."""
