"""Reproduction of published results: recipes run over their seeds, compared with bars and baselines."""
