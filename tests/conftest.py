"""One thread for every test and every process a test starts: the same bits in whatever order they run."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "passive"

import torch  # reads the environment when it is imported

torch.set_num_threads(1)
