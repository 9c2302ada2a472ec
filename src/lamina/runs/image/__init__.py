"""What only runs on images have."""
