"""Make the runs of ``old_runs`` again, by the package of a commit:
``PYTHONPATH=tests python tests/runs/make_old_runs.py COMMIT``.

They are small and of embedded data, so that no file names a place. Two are stopped in the middle of an epoch, by a
signal to the command line, and keep their checkpoint; of the others the checkpoints are left out, reports of all.
``figures.json`` holds what that commit says of them, and with what the stopped ones end there.

Moved since, on purpose: the text that ``stopped-text`` draws. Tokens that are no text are no longer drawn, and with
them goes their share of the probability.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lamina
from waiting import until

OLD_RUNS = Path(__file__).with_name("old_runs")
FIGURES = OLD_RUNS / "figures.json"

FINISHED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "image": ("lenet5", "digits", {"epochs": 6, "ema": 0.9, "model_options": {"image_size": 16}}),
    "table": ("mlp", "diabetes", {"epochs": 15, "model_options": {"hidden": (16,), "dropout": 0.1}}),
    "text": (
        "lstm-lm-small",
        "python-docs",
        {
            "limit": 60_000, "validation": 0.01, "test": 0.01, "steps": 250, "batch_size": 16, "window": 32, "lr": 0.01,
            "model_options": {"embedding_dim": 24, "hidden_size": 48, "num_layers": 1},
        },
    ),
    "pairs": (
        "transformer-small",
        "dates",
        {
            "limit": 3_000, "validation": 0.005, "test": 0.005, "epochs": 12, "batch_size": 32, "lr": 0.003,
            "model_options": {"layers": 1, "width": 48, "heads": 4, "hidden": 96},
        },
    ),
}  # fmt: skip
"""model, data and options by the name of the run"""

STOPPED: dict[str, list[str]] = {
    "stopped": [
        "mlp", "--data", "digits", "--epochs", "4", "--batch-size", "16", "--accumulate", "2", "--ema", "0.9",
        "--flip", "--shift", "1", "--model.hidden", "24", "--model.norm", "batch", "--model.dropout", "0.2",
    ],
    "stopped-text": [
        "lstm-lm-small", "--data", "python-docs", "--limit", "12000", "--validation", "0.01", "--test", "0.01",
        "--epochs", "3", "--batch-size", "8", "--window", "32", "--model.embedding-dim", "16",
        "--model.hidden-size", "16", "--model.num-layers", "1", "--model.dropout", "0.1",
    ],
}  # fmt: skip
"""words of the command line by the name of the run, beside these: double precision, so that the end is the same"""
ALWAYS = ["--precision", "fp64", "--accelerator", "cpu", "--checkpoint-every", "5"]

LEFT_OUT = ("report.html", ".lock", "exports", "status.json")
PROMPTS = ("The ", "A class")
SOURCES = ("tisdag 3 mars 2015", "4. Juli 1999", "12 décembre 2040")


def digits() -> list[np.ndarray[Any, Any]]:
    """Some of the handwritten digits, (8, 8) uint8."""
    from sklearn.datasets import load_digits

    return list(np.rint(load_digits().images[:5] * (255 / 16)).astype(np.uint8))


def patients() -> list[dict[str, float]]:
    from sklearn.datasets import load_diabetes

    return load_diabetes(as_frame=True, scaled=False).data[:5].to_dict("records")  # type: ignore[no-any-return]


def told(run: lamina.Run) -> dict[str, Any]:
    """What a run says, as plain values."""
    splits = [name for name in run.splits() if name != "train"]
    said: dict[str, Any] = {"history": run.history, "evaluate": {name: run.evaluate(name) for name in splits}}
    match run.path.name:
        case "image" | "stopped":
            said |= {"predict": run.predict(*digits()), "embed": run.embed(digits()[0]).tolist()}
        case "table":
            said |= {"predict": run.predict(*patients())}
        case "text" | "stopped-text":
            said |= {"generate": run.generate(*PROMPTS, max_new_tokens=60, greedy=True)}
            said |= {"drawn": run.generate(*PROMPTS, max_new_tokens=60, temperature=0.7, seed=2)}
        case "pairs":
            said |= {"predict": run.predict(*SOURCES), "search": run.predict(*SOURCES, beam=3)}
    return said


def versions() -> dict[str, str]:
    """What the embedded texts follow from: with another Python or Babel they are others."""
    topics = importlib.import_module("pydoc_data.topics").topics
    python = hashlib.sha256(repr(sorted(topics.items())).encode()).hexdigest()
    return {"python-docs": python, "dates": importlib.metadata.version("babel")}


# ---------------------------------------------------------------- making them


def in_second_epoch(run: Path) -> bool:
    rows = lamina.open_run(run).history if (run / "metrics.csv").exists() else []
    steps = [int(path.stem.split("-")[1]) for path in run.glob("checkpoints/step-*.ckpt")]
    return bool(rows) and max(steps, default=0) > rows[0]["step"]


def stop_in_mid_epoch(folder: Path, name: str, words: list[str]) -> None:
    """Train by the command line, and stop it some steps into its second epoch."""
    run = folder / name
    command = [sys.executable, "-m", "lamina", "train", *words, *ALWAYS, "--name", name, "--runs", str(folder)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        until(lambda: in_second_epoch(run), "a checkpoint of the second epoch")
        os.kill(child.pid, signal.SIGINT)
        child.wait(60)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
    assert child.returncode == 128 + signal.SIGINT, f"it ended with {child.returncode}"
    *older, newest = sorted(run.glob("checkpoints/step-*.ckpt"))
    for path in older:
        path.unlink()
    state = torch.load(newest, weights_only=True)
    assert state["rows"] == 1, "stopped in the second epoch"
    assert not state["progress"]["fresh"], "in the middle of it"
    print(f"{name}: stopped at {newest.stem}")


def make(folder: Path) -> dict[str, Any]:
    """All runs, and what is said of them."""
    figures: dict[str, Any] = {"versions": versions()}
    for name, (model, data, asked) in FINISHED.items():
        run = lamina.train(model, data=data, name=name, directory=folder, report=False, **asked)
        figures[name] = told(lamina.open_run(run.path))
        shutil.rmtree(run.path / "checkpoints")
    for name, words in STOPPED.items():
        stop_in_mid_epoch(folder, name, words)
        with tempfile.TemporaryDirectory() as other:
            shutil.copytree(folder / name, Path(other, name))
            figures[name] = told(lamina.train(name=name, directory=other, resume=True, report=False))
    for path in [path for name in LEFT_OUT for path in folder.glob(f"*/{name}")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return figures


def main() -> None:
    """Called with a commit: check it out and run this file on its package. Called with --here: make the runs."""
    commit = sys.argv[1]
    if commit != "--here":
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder, "tree")
            subprocess.run(["git", "worktree", "add", "--detach", str(tree), commit], check=True)
            try:
                environment = os.environ | {"PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}
                command = [sys.executable, __file__, "--here", str(tree)]
                subprocess.run(command, check=True, env=environment)
            finally:
                subprocess.run(["git", "worktree", "remove", "--force", str(tree)], check=True)
        return
    assert Path(lamina.__file__).is_relative_to(Path(sys.argv[2]).resolve()), lamina.__file__
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        figures = make(Path(made))
        shutil.rmtree(OLD_RUNS, ignore_errors=True)
        shutil.copytree(made, OLD_RUNS)
    lines = (f" {json.dumps(name)}: {json.dumps(said, ensure_ascii=False)}" for name, said in figures.items())
    FIGURES.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
