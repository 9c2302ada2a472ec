"""Random augmentation of training images: drawn by seed, applied to batches on the device."""
