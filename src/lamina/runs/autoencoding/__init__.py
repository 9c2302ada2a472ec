"""Runs that restore their input: autoencoders, variational and denoising ones."""
