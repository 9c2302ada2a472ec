"""What only runs on texts have."""
