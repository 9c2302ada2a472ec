"""Images: sources, decoding, resizing and preprocessing; augmentation in ``augment``."""
