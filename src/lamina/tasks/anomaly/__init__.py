"""Anomalies in series: a score, an alarm and the channel to blame for each row."""
