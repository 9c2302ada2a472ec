"""Run experiments and write the table of all that were run."""

from __future__ import annotations

import benchmarks.series
from benchmarks.laboratory import main
from benchmarks.series import etth1, fd001, nab

if __name__ == "__main__":
    main("series", benchmarks.series.__doc__ or "", {**etth1.EXPERIMENTS, **fd001.EXPERIMENTS, **nab.EXPERIMENTS})
