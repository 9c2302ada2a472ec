"""Text: running text, texts with targets, pairs; tokenizers, preprocessing, batches."""
