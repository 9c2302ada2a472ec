"""Hyper-parameters of LeNet-5 on digits by ASHA, and what a search costs beside its trainings.

    python -m benchmarks.search hyperparameters
    python -m benchmarks.search search_overhead

``hyperparameters``: rate, decay and batch size, 30 trials by TPE with ASHA, against the default recipe's validation
accuracy, and against the same search without pruning: CPU seconds of this process. ``search_overhead``: ask and tell of
500 trials on a journal by 4 processes, milliseconds a trial; and a search of 20 trials against the same 20 trainings by
hand.
"""

from __future__ import annotations

import json
import multiprocessing
import platform
import sys
import tempfile
import time
from pathlib import Path

import lamina
from lamina.search.api import search

RESULTS = Path(__file__).parent / "results"
SPACE = {
    "lr": {"low": 1e-4, "high": 3e-2, "log": True},
    "weight_decay": {"low": 1e-5, "high": 1e-1, "log": True},
    "batch_size": [16, 32, 64, 128],
}
EPOCHS, TRIALS, SEED = 9, 30, 0


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


def _asks(folder: str) -> None:
    space = {"x": {"low": 0.0, "high": 1.0}, "y": {"low": 0.0, "high": 1.0}, "z": ["a", "b"]}
    search(
        evaluate=_constant, space=space, strategy="random", trials=500, name="asks", directory=folder,
        storage=f"{folder}/log", baseline=False, report=False,
    )  # fmt: skip


def search_overhead() -> dict[str, object]:
    out: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["benchmarks.search"])
        workers = [context.Process(target=_asks, args=(folder,)) for _ in range(4)]
        began = time.monotonic()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        seconds = time.monotonic() - began
        done = len(lamina.open_search(Path(folder) / "asks").trials)
        if done != 500 or any(worker.exitcode for worker in workers):
            raise SystemExit(f"{done} of 500 trials; exit codes {[worker.exitcode for worker in workers]}")
        out["ask and tell, 500 trials, 4 workers: ms a trial"] = round(1000 * seconds / 500, 2)
        began = time.process_time()
        found = search(
            "lenet5", "digits", space=SPACE, strategy="random", trials=20, epochs=5, directory=folder, report=False
        )
        whole = time.process_time() - began
        began = time.process_time()
        for trial in found.trials:
            lamina.train("lenet5", "digits", epochs=5, directory=folder, name="hand", report=False, **trial.point)
        out["20 trials over 20 trainings by hand, CPU"] = round(whole / (time.process_time() - began), 3)
    return out


def main() -> None:
    name = sys.argv[1]
    found = {"hyperparameters": hyperparameters, "search_overhead": search_overhead}[name]()
    found["machine"] = f"{platform.machine()}, {platform.python_version()}"
    file = RESULTS / f"{name if name.startswith('search') else f'search_{name}'}.json"
    file.write_text(json.dumps(found, indent=1) + "\n")
    print(file.read_text())


if __name__ == "__main__":
    main()
