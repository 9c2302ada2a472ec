"""Sections, pages and figures for text models."""
