"""Hyper-parameters of LeNet-5 on digits by ASHA, and what a search costs beside its trainings.

    python -m benchmarks.search hyperparameters
    python -m benchmarks.search search_overhead

``hyperparameters``: rate, decay and batch size, 30 trials by TPE with ASHA, against the default recipe's validation
accuracy, and against the same search without pruning: CPU seconds of this process. ``search_overhead``: ask and tell of
500 trials on a journal by 4 processes, milliseconds a trial, once all four have imported what they need;
and a search of 20 trials against the same 20 trainings by hand, in turns. It refuses a machine that is not quiet.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.synchronize import Barrier
from pathlib import Path

import torch

import lamina
from benchmarks.measure import interleaved, ratio
from lamina.search.api import search
from lamina.search.searching import as_space
from lamina.search.strategies import RandomSearch

RESULTS = Path(__file__).parent / "results"
SPACE = {
    "lr": {"low": 1e-4, "high": 3e-2, "log": True},
    "weight_decay": {"low": 1e-5, "high": 1e-1, "log": True},
    "batch_size": [16, 32, 64, 128],
}
EPOCHS, TRIALS, SEED = 9, 30, 0
ASKED, WORKERS, TRAINED, SHORT, ROUNDS = 500, 4, 20, 5, 3


def hyperparameters() -> dict[str, object]:
    out: dict[str, object] = {"epochs": EPOCHS, "trials": TRIALS, "seed": SEED}
    with tempfile.TemporaryDirectory() as folder:
        run = lamina.train("lenet5", "digits", epochs=EPOCHS, seed=SEED, directory=folder, report=False)
        out["default recipe, validation accuracy"] = max(row["validation_accuracy"] for row in run.history)
        for prune in ("asha", "none"):
            began = time.process_time()
            found = search(
                "lenet5", "digits", space=SPACE, strategy="tpe", trials=TRIALS, epochs=EPOCHS, seed=SEED, prune=prune,
                baseline=False, name=prune, directory=folder, report=False,
            )  # fmt: skip
            out[prune] = {
                "validation accuracy": found.best.values[0] if found.best.values else None,
                "test accuracy": found.result["test"]["accuracy"],
                "point": dict(found.best.point),
                "CPU seconds": round(time.process_time() - began, 1),
                "epochs": sum(int(trial.info.get("epochs", 0)) for trial in found.trials),
                "pruned": sum(trial.state == "pruned" for trial in found.trials),
            }
    return out


def _constant(point: object) -> float:
    return 0.0


def _asks(folder: str, ready: Barrier) -> None:
    """A worker: everything is imported before the clock is started."""
    import lamina.search.storage  # noqa: F401

    ready.wait()
    space = {"x": {"low": 0.0, "high": 1.0}, "y": {"low": 0.0, "high": 1.0}, "z": ["a", "b"]}
    search(
        evaluate=_constant, space=space, strategy="random", trials=ASKED, name="asks", directory=folder,
        storage=f"{folder}/log", baseline=False, report=False,
    )  # fmt: skip


def _expect_quiet() -> None:
    """Leave where other processes take more than a tenth of a core: two seconds of the system's clock."""
    busy = [_busy()]
    time.sleep(2)
    busy.append(_busy())
    cores = (busy[1] - busy[0]) / os.sysconf("SC_CLK_TCK") / 2
    if cores > 0.1:
        raise SystemExit(f"{cores:.1f} cores are busy: this is measured on a quiet machine")


def _busy() -> int:
    """Ticks in which any core worked, since the start of the system."""
    user, nice, system, _, _, irq, soft, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return user + nice + system + irq + soft


def _asked() -> float:
    """Seconds of ask and tell of all trials by the workers; each of them must have had a share, and lived."""
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["benchmarks.search"])
        ready = context.Barrier(WORKERS + 1)
        workers = [context.Process(target=_asks, args=(folder, ready)) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        ready.wait(120)
        began = time.monotonic()
        for worker in workers:
            worker.join()
        seconds = time.monotonic() - began
        trials = lamina.open_search(Path(folder) / "asks").trials
        shares = Counter(trial.worker["pid"] for trial in trials if trial.state == "complete")
        if len(trials) != ASKED or sum(shares.values()) != ASKED or any(worker.exitcode for worker in workers):
            codes = [worker.exitcode for worker in workers]
            raise SystemExit(f"{sum(shares.values())} of {ASKED} trials complete; exit codes {codes}")
        if set(shares) != {worker.pid for worker in workers}:
            raise SystemExit(f"of {WORKERS} workers {len(shares)} had trials: {dict(shares)}")
    return seconds


def _searched() -> float:
    """CPU seconds of a search."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        found = search(
            "lenet5", "digits", space=SPACE, strategy="random", trials=TRAINED, epochs=SHORT, directory=folder,
            report=False,
        )  # fmt: skip
        seconds = time.process_time() - began
        states = [trial.state for trial in found.trials]
        if states != ["complete"] * TRAINED:
            raise SystemExit(f"trials: {states}")
    return seconds


def _by_hand() -> float:
    """CPU seconds of the same trainings, and of the evaluation of one on the test split, by hand."""
    from random import Random

    space = as_space(SPACE)
    points = [RandomSearch().propose(space, 0, number, [], objectives=1).point for number in range(TRAINED)]
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        runs = [
            lamina.train("lenet5", "digits", epochs=SHORT, directory=folder, name=f"hand{i}", report=False, **point)
            for i, point in enumerate(points)
        ]
        runs[Random(0).randrange(TRAINED)].evaluate("test")
        return time.process_time() - began


def search_overhead() -> dict[str, object]:
    _expect_quiet()
    asked = [_asked() for _ in range(ROUNDS)]
    _expect_quiet()
    seconds = interleaved({"search": _searched, "hand": _by_hand}, ROUNDS)
    whole = ratio(seconds["search"], seconds["hand"])
    each = 1000 * statistics.median(asked) / ASKED
    return {
        f"ask and tell, {ASKED} trials, {WORKERS} workers: ms a trial": round(each, 2),
        "the same, of one worker's time: ms": round(each * WORKERS, 2),
        f"{TRAINED} trials over {TRAINED} trainings by hand, CPU": round(whole, 3),
        "rounds": ROUNDS,
        "bars": "30 ms; 1.05",
    }


def main() -> None:
    name = sys.argv[1]
    torch.set_num_threads(1)
    found = {"hyperparameters": hyperparameters, "search_overhead": search_overhead}[name]()
    found["machine"] = f"{platform.machine()}, {platform.python_version()}"
    file = RESULTS / f"{name if name.startswith('search') else f'search_{name}'}.json"
    file.write_text(json.dumps(found, indent=1) + "\n")
    print(file.read_text())


if __name__ == "__main__":
    main()
