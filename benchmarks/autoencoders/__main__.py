"""Run experiments and write the table of all that were run."""

from __future__ import annotations

import benchmarks.autoencoders
from benchmarks.autoencoders.experiments import EXPERIMENTS
from benchmarks.laboratory import main

if __name__ == "__main__":
    main("autoencoders", benchmarks.autoencoders.__doc__ or "", EXPERIMENTS)
