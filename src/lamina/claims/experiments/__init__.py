"""One short file per claim, which defines ``CLAIM``: its settings and bars are fixed before the verdict."""
