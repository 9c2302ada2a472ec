"""What the documentation site is made of besides docs/: pages of the repository, and what is drawn and counted from the
models, their cards and the results."""
