"""Texts: running text, texts with a target, pairs; tokenizers, preprocessing, batches."""
