"""One short file a claim: its settings and bars, fixed before its verdict."""
