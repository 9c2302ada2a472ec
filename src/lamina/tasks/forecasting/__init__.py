"""Forecasting of series: points, quantiles and distributions, with intervals."""
