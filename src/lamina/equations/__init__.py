"""The field's formulas, written plainly with their sources: for reading, tests and claims, never at run time."""
