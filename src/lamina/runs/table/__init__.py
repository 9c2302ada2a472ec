"""What only runs on tables have."""
