"""Claims about forecasts and anomalies of series."""
