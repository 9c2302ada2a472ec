"""Claims about recurrent networks and attention."""
