"""Generated samples against real ones, judged by a network that is no part of the model."""
