"""The field's formulas, each written plainly with its source: for reading, for tests and for claims, never at run time."""
