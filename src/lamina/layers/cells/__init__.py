"""Cells of searched architectures: operations, genotypes, and the weights that all of a space share."""
