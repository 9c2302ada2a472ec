"""What pages show of spectra."""
