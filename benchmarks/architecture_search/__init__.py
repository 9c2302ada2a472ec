"""Searches of architectures measured: on the table of NAS-Bench-201, and on a tiny space trained in full."""
