"""Targets: from what a source holds to tensors, and what they mean. The kinds of target are told apart here alone."""
