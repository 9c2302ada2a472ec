"""Five small trainings in double precision, and what comes out of them, as plain values.

Run it to write ``figures.json`` anew, where results are to change: ``python tests/golden/golden_figures.py``.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lamina

FIGURES = Path(__file__).with_name("figures.json")
TOLD = 3
"""predictions of a split that are told"""

Figures = dict[str, Any]


def trained(model: str, data: str, **asked: Any) -> lamina.Run:
    """In the current folder, which is an empty one."""
    return lamina.train(model, data=data, precision="fp64", report=False, directory="runs", name=model, **asked)


def measured(run: lamina.Run) -> Figures:
    """What every run has: sizes of the splits, the rows of training, figures of what is held out."""
    splits = run.source.splits
    held_out = [name for name in splits if name != "train"]
    return {
        "sizes": {name: len(split) for name, split in splits.items()},
        "history": run.history,
        "evaluate": {name: run.evaluate(name) for name in held_out},
    }


def rows_of(run: lamina.Run, split: str, key: str, count: int | None = None) -> list[Any]:
    """Rows of a split as the model takes them: the target of every sample tells which samples went there."""
    return [value for batch in run.batches(split) for value in batch[key].tolist()][:count]


def exported(run: lamina.Run, *items: Any) -> list[dict[str, Any]]:
    return lamina.open_exported(run.export("onnx", run.path / "figures.onnx").path).predict(*items)


# ---------------------------------------------------------------- the cases


def image() -> Figures:
    """Digits: mirrored and moved, dropout, mixup, average of the weights, gradients accumulated."""
    run = trained(
        "mlp", "digits", limit=200, steps=18, batch_size=20, flip=True, shift=1, mixup=0.2, ema=0.9, accumulate=2,
        schedule="cosine", warmup=0.1, model_options={"hidden": (24,), "norm": "batch", "dropout": 0.2},
    )  # fmt: skip
    from sklearn.datasets import load_digits

    images = np.rint(load_digits().images[:TOLD] * (255 / 16)).astype(np.uint8)
    return measured(run) | {
        "classes": {name: "".join(map(str, rows_of(run, name, "target"))) for name in run.splits()},
        "predictions": run.predict(*images),
        "embedded": run.embed(images[0]).tolist(),
        "exported": exported(run, *images),
    }


def table() -> Figures:
    """Numbers, a category and empty cells to a number."""
    lines = ["length,weight,colour,target"]
    for i in range(90):
        length, weight, colour = (i * 37) % 91, (i * 53) % 67, ("red", "green", "", "blue")[i % 4]
        target = 0.3 * length - 0.1 * weight + (5 if colour == "red" else 0)
        lines.append(f"{length},{'' if i % 11 == 0 else weight},{colour},{target:.2f}")
    Path("table.csv").write_text("\n".join(lines) + "\n")
    run = trained("mlp", "table.csv", task="regression", steps=20, batch_size=16, lr=0.01, clip=1.0,
                  model_options={"hidden": (12,), "norm": "layer"})  # fmt: skip
    rows = [{"length": 12, "weight": 3, "colour": "red"}, {"length": 80, "weight": None, "colour": "violet"}]
    return measured(run) | {
        "features": rows_of(run, "validation", "features", TOLD),
        "targets": {name: rows_of(run, name, "target") for name in run.splits()},
        "predictions": run.predict(*rows),
        "exported": exported(run, *rows),
    }


def running_text() -> Figures:
    """Characters, a state carried from window to window."""
    nouns, places = ("cat", "dog", "bird", "fox", "owl"), ("mat", "roof", "tree")
    said = (f"{i}: the {nouns[i * i % 5]} sat on the {places[i * 7 % 11 % 3]}.\n" for i in range(200))
    Path("book.txt").write_text("".join(said))
    run = trained(
        "lstm-lm-small", "book.txt", steps=20, batch_size=8, window=20,
        optimizer="adam", lr=0.03, weight_decay=0.0, clip=1.0, warmup=0.0,
        model_options={"embedding_dim": 12, "hidden_size": 20, "num_layers": 1, "dropout": 0.1},
    )  # fmt: skip
    return measured(run) | {
        "tokens": rows_of(run, "test", "tokens", 2),
        "greedy": run.generate("the ", "1: ", max_new_tokens=40, greedy=True, repetition_penalty=5.0),
        "drawn": run.generate("the ", max_new_tokens=40, temperature=0.8, top_k=12, seed=1),
    }


def labelled_texts() -> Figures:
    """Words of two kinds, in texts of several lengths, to a class; classes weighted."""
    words = {"warm": ("sun", "summer", "sand", "south"), "cold": ("snow", "winter", "ice", "north")}
    lines = ["text\tlabel"]
    for i in range(120):
        label = "warm" if i % 3 else "cold"
        said = [words[label][(i * k) % 4] for k in range(1, 2 + i % 4)]
        lines.append(f"the {' and '.join(said)}, number {i % 7}\t{label}")
    Path("texts.tsv").write_text("\n".join(lines) + "\n")
    run = trained(
        "lstm-classifier", "texts.tsv", steps=16, batch_size=12, lr=0.02, class_weights=True, label_smoothing=0.1,
        model_options={"embedding_dim": 8, "hidden_size": 8, "bidirectional": True, "dropout": 0.1},
    )  # fmt: skip
    texts = ["the summer and the snow", "ice", "number 3, number 4"]
    return measured(run) | {
        "classes": {name: "".join(map(str, rows_of(run, name, "target"))) for name in run.splits()},
        "tokens": rows_of(run, "test", "tokens"),
        "predictions": run.predict(texts),
        "embedded": run.embed(texts[0]).tolist(),
        "exported": exported(run, texts),
    }


def pairs() -> Figures:
    """Written dates to ISO 8601."""
    run = trained(
        "transformer-small", "dates", limit=320, validation=0.001, test=0.001, steps=20, batch_size=16, lr=0.01,
        model_options={"layers": 1, "width": 24, "heads": 2, "hidden": 32, "dropout": 0.1},
    )  # fmt: skip
    sources = ("tisdag 3 mars 2015", "4. Juli 1999")
    return measured(run) | {
        "tokens": {key: rows_of(run, "test", key, TOLD) for key in ("source", "tokens", "target")},
        "translations": run.predict(*sources),
        "searched": run.predict(*sources, beam=3),
    }


CASES: dict[str, Callable[[], Figures]] = {
    case.__name__: case for case in (image, table, running_text, labelled_texts, pairs)
}


def as_json(figures: Figures) -> Figures:
    """The figures as a JSON file gives them back: tuples as lists."""
    told: Figures = json.loads(json.dumps(figures, ensure_ascii=False))
    return told


def main() -> None:
    """Write the figures of all cases anew."""
    torch.set_num_threads(1)
    found = {}
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            found[name] = as_json(case())
            os.chdir("/")
    lines = (
        f" {json.dumps(name)}: {{\n"
        + ",\n".join(f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in figures.items())
        + "\n }"
        for name, figures in found.items()
    )
    FIGURES.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
