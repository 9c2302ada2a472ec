"""A trained thing on disk: train, open, resume, evaluate, predict, embed, report."""
