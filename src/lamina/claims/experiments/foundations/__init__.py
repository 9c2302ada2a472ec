"""Claims about units, activations, losses, optimisers and regularisation."""
