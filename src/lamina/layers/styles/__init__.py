"""Layers of ProGAN and the StyleGANs."""
