"""Figures and pages of architectures that were searched for."""
