"""Forecasters, remaining life and anomalies: what the models of series reach on public data, beside closed forms.

ETTh1: rows 8640/2880/2880, a context of 96, a horizon of 96, all windows of the test rows, no calendar; errors in
standard deviations of the training rows, means over five seeds. "Seasonal mean" is the mean of the last four days, hour
by hour; "least squares" one matrix for all channels in closed form. The epoch is chosen on the validation rows.

FD001: windows of 30 cycles of 14 sensors, the target capped at 125, 20 of the 100 engines for validation; errors of the
true life of the 100 engines of test at their last cycle.

NAB: one net trained on the first rows of all files; the scorer of the benchmark (``lamina.equations.anomaly``). The
best threshold sees the labels, as in the published scores; one from training rows alone stands beside.

Embedded: the next day's maximum of seattle-weather over 2015; stocks a month ahead, where nothing beats the last value.

    python -m benchmarks.series                 # all experiments; what was measured before is not measured again
    python -m benchmarks.series etth1-dlinear   # one of them

Needs ``$LAMINA_DATA/etth1``, ``cmapss_fd001`` and ``nab``.
"""
