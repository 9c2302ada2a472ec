"""A package that brings a kind of data lamina does not have: spectra, signals over wavelengths, with a target.

It is laid out as lamina is, one folder a floor. ``test_fourth_modality`` installs it by its entry points alone.
"""
