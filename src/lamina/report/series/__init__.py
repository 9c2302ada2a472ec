"""Figures and pages of forecasts."""
