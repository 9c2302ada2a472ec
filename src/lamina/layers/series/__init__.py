"""Shared by the forecasters: windows and covariates, distributions of values."""
