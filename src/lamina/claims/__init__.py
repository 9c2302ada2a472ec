"""Statements of the field as experiments: one short file a claim, its settings and bars fixed before its verdict."""
