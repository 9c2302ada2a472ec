"""Adversarial training: games as data, the task, the options of its verbs."""
