"""Models that take spectra."""
