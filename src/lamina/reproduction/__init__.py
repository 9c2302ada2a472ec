"""Published results reproduced: recipes run over their seeds, compared with their bars and baselines."""
