"""Where data come from and what becomes of them before a model sees them."""
