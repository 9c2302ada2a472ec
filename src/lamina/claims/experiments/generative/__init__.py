"""Claims about autoencoders and style transfer."""
