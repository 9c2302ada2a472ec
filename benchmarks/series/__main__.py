"""Run experiments and write the table of all that were run."""

from __future__ import annotations

import benchmarks.series
from benchmarks.laboratory import main
from benchmarks.series import embedded, etth1, fd001, intervals, nab

if __name__ == "__main__":
    parts = (etth1, intervals, fd001, nab, embedded)
    every = {name: experiment for part in parts for name, experiment in part.EXPERIMENTS.items()}
    main("series", benchmarks.series.__doc__ or "", every)
