"""Claims about the search of architectures."""
