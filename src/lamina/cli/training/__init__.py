"""The parts of ``lamina train``."""
