"""Are our models those of torchvision and timm? ``python -m benchmarks.parity`` writes docs/parity.md."""
