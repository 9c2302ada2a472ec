"""Spectra as data: samples, preprocessing, the row of the table of modalities."""
