"""How fast is a linear forecaster trained on windows cut from one tensor?

One linear map on 140,160 rows of one series, four years of quarters of an hour, context and horizon 96, batches of
8,192, Adam at 0.001, one thread: so large that what a step costs apart from the net is little. ``raw loop``: the
same net, windows gathered from one tensor by their first rows, fused Adam, the sum of the losses. ``DataLoader``: the
same net under the loop of the common reference code (LTSF-Linear, Time-Series-Library): a data set that cuts one window
at a time from an array, a DataLoader without workers, the default collation, Adam as it comes, ``loss.item()`` at every
step. lamina: the events of ``lamina.prepare``, from the first step of an epoch to its last.
Milliseconds of CPU time a step, median over rounds; speed: median over rounds of the ratio within a round.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import lamina
from benchmarks.measure import interleaved, ratio, write_result
from lamina.training.events import StepDone

MODEL = "linear-forecaster"
ROWS, SERIES, CONTEXT, HORIZON, BATCH, LR = 140_160, 1, 96, 96, 8_192, 0.001
WINDOWS = ROWS - CONTEXT - HORIZON + 1
STEPS = WINDOWS // BATCH - 1
"""timed: the first is not"""
WATCHED = 400
"""rows after those of training: a recipe that stops early watches some; lamina's evaluation is not timed"""
ROUNDS = 9


def net() -> torch.nn.Module:
    return lamina.create_model(MODEL, context=CONTEXT, horizon=HORIZON, channels=SERIES).train()


def lamina_loop(frame: pd.DataFrame, rows: Tensor) -> float:
    options: dict[str, Any] = {
        "data": frame,
        "time": "date",
        "context": CONTEXT,
        "horizon": HORIZON,
        "rows": (ROWS, len(frame) - ROWS, 0),
        "calendar": False,
        "epochs": 1,
        "batch_size": BATCH,
        "optimizer": "adam",
        "lr": LR,
        "schedule": "constant",
        "ema": 0.0,
        "accelerator": "cpu",
    }
    folder = tempfile.mkdtemp()
    start = end = 0.0
    for event in lamina.prepare(MODEL, options, directory=folder).events():
        if isinstance(event, StepDone) and event.step == 1:
            start = time.process_time()
        if isinstance(event, StepDone) and event.step == STEPS + 1:
            end = time.process_time()
    shutil.rmtree(folder)
    return (end - start) / STEPS


def raw_loop(frame: pd.DataFrame, rows: Tensor) -> float:
    model = net()
    optimiser = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    windows = rows.unfold(0, CONTEXT + HORIZON, 1)
    total, start = torch.zeros(()), 0.0
    order = torch.randperm(WINDOWS)
    for step in range(STEPS + 1):
        cut = windows[order[step * BATCH : (step + 1) * BATCH]].transpose(1, 2)
        loss = F.mse_loss(model(cut[:, :CONTEXT]), cut[:, CONTEXT:])
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        total += loss.detach()
        start = time.process_time() if step == 0 else start
    return (time.process_time() - start) / STEPS


class Cut(Dataset[tuple[Any, Any]]):
    """One window at a time, as the reference code cuts it."""

    def __init__(self, rows: Tensor) -> None:
        self.values = rows.numpy().astype(np.float64)

    def __len__(self) -> int:
        return WINDOWS

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        return self.values[i : i + CONTEXT], self.values[i + CONTEXT : i + CONTEXT + HORIZON]


def loader_loop(frame: pd.DataFrame, rows: Tensor) -> float:
    model = net()
    optimiser = torch.optim.Adam(model.parameters(), lr=LR)
    loader = DataLoader(Cut(rows), batch_size=BATCH, shuffle=True, drop_last=True)
    losses, start = [], 0.0
    for step, (past, target) in enumerate(loader):
        optimiser.zero_grad()
        loss = F.mse_loss(model(past.float()), target.float())
        losses.append(loss.item())
        loss.backward()
        optimiser.step()
        start = time.process_time() if step == 0 else start
    return (time.process_time() - start) / STEPS


LOOPS = {"lamina": lamina_loop, "raw loop": raw_loop, "DataLoader": loader_loop}


def data() -> tuple[pd.DataFrame, Tensor]:
    """Series with a season of a day, as a table and as standardised rows."""
    draw = np.random.default_rng(0)
    step = np.arange(ROWS + WATCHED)[:, None]
    values = np.sin(2 * np.pi * step / 96 + np.arange(SERIES)) + draw.normal(0, 0.3, (len(step), SERIES))
    frame = pd.DataFrame(values, columns=[f"s{k}" for k in range(SERIES)])
    times = pd.date_range("2016-07-01", periods=len(values), freq="15min").strftime("%Y-%m-%d %H:%M")
    train = values[:ROWS]
    rows = torch.from_numpy(((train - train.mean(0)) / train.std(0)).astype(np.float32))
    return frame.assign(date=times), rows


def main() -> None:
    """Measure and write the result."""
    torch.set_num_threads(1)
    frame, rows = data()
    found = interleaved({name: lambda side=side: side(frame, rows) for name, side in LOOPS.items()}, ROUNDS)
    bars = {"raw loop": 0.97, "DataLoader": 3.0}
    table = "| side | ms a step | lamina's speed against it | bar | reached |\n|---|---|---|---|---|\n"
    for name, times in found.items():
        speed = ratio(times, found["lamina"])
        cells = ("", "", "")
        if name in bars:
            cells = (f"{speed:.3f}x", f">= {bars[name]}x", "yes" if speed >= bars[name] else "**no**")
        table += f"| {name} | {1e3 * statistics.median(times):.3f} | {' | '.join(cells)} |\n"
    load = os.getloadavg()[0]
    table += f"\nLoad of the machine at the end (1 of it is this benchmark): {load:.1f} on {os.cpu_count()} cores.\n"
    write_result("forecaster_training", (__doc__ or "") + "\n" + table)


if __name__ == "__main__":
    main()
