"""Trackers of experiments as consumers of the events of training."""
