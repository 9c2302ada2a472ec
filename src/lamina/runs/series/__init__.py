"""Runs on series: a rolling origin, forecasts with intervals, their report and inspection."""
