"""Sections, pages and figures of models of text."""
