"""Tables: preprocessing of numeric and categorical columns."""
