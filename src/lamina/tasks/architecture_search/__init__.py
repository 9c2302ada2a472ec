"""Architectures searched by weight sharing: DARTS and ENAS."""
