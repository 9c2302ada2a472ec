"""One thread for every test and every process a test starts: the same bits wherever tests run, and in whatever order."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "passive"

import torch  # noqa: E402 # reads the environment when it is imported

torch.set_num_threads(1)
