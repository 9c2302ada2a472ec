"""Blocks that two or more architectures share. They import torch alone."""
