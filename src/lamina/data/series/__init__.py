"""Series: values in order of time, of one series or many; windows for forecasting, anomalies and remaining life."""
