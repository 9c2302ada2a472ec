"""Tables of rows: preprocessing of numbers and categories."""
