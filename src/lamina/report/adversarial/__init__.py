"""Reports of adversarial networks."""
