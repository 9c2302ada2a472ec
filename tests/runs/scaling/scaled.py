"""What both sides of the tests of several processes train."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

COMMON: dict[str, Any] = {
    "precision": "fp64", "optimizer": "sgd", "schedule": "constant", "warmup": 0.0, "accelerator": "cpu",
    "report": False,
}  # fmt: skip
"""sums in another order, and nothing else, may differ"""
TINY = {"hidden_size": 8, "embedding_dim": 8}


def cases(book: Path) -> dict[str, dict[str, Any]]:
    """Images, running text with a state and without, a table, pairs."""
    pairs = {"width": 8, "hidden": 8, "layers": 1, "heads": 2, "dropout": 0.0}
    windows = {"width": 8, "layers": 1, "heads": 2, "context": 16, "dropout": 0.0}
    of = {
        "images": ("lenet5", "digits", 128, 0.05, {}),
        "state": ("lstm-lm", str(book), 8, 0.5, TINY),
        "table": ("mlp", "iris", 16, 0.05, {"hidden": (8,)}),
        "pairs": ("transformer-small", "territories", 32, 0.05, pairs),
        "windows": ("transformer-lm", str(book), 8, 0.1, windows),
    }
    return {
        name: {
            **COMMON, "model": model, "data": data, "batch_size": size, "lr": lr, "model_options": options, "epochs": 2,
        }
        for name, (model, data, size, lr, options) in of.items()
    }  # fmt: skip


def words(options: dict[str, Any], *more: str) -> list[str]:
    """The same training as a command line."""
    rest = {key: value for key, value in options.items() if key not in ("model", "model_options", "report", "epochs")}
    found = ["train", options["model"], "--quiet", *more]
    for key, value in (*rest.items(), *((f"model.{name}", value) for name, value in options["model_options"].items())):
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        found += [f"--{key.replace('_', '-')}", text]
    return found


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port
