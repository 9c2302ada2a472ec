"""Images: sources, decoding, resizing, preprocessing; augmentation in ``augment``."""
