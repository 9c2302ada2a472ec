"""The formulas of deep learning, written out with their sources: for reading, tests and claims, never at run time."""
