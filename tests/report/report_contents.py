"""Contents of reports to render, and the page as a test reads it."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np

from lamina.report.content import Internals, Mistake, Outcome, ReportContent
from lamina.report.page import render_report

VOID = {"meta", "link", "img", "br", "hr"}


class Page(HTMLParser):
    """Every element with its attributes, every piece of text outside style, and whether the nesting is sound."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source, self.elements, self.pieces, self.open = text, [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open[-1:]:
            self.pieces.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.pieces).replace("\u00a0", " ").split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def labels(self) -> list[str]:
        """Alternative texts of the drawn figures."""
        return [attributes["aria-label"] or "" for attributes in self.all("svg")]


def page(content: ReportContent) -> Page:
    found = Page(render_report(content))
    assert not found.open, f"left open: {found.open}"
    return found


def history(epochs: int, **more: float) -> list[dict[str, float]]:
    return [
        {
            "epoch": epoch,
            "step": 10 * epoch,
            "train_loss": 2.0 / epoch,
            "validation_loss": 2.5 / epoch,
            "best": 1.0,
            **more,
        }
        for epoch in range(1, epochs + 1)
    ]


def probabilities(truth_N: np.ndarray, classes: int, seed: int = 0) -> np.ndarray:
    """(N, K), right about as often as not."""
    rng = np.random.default_rng(seed)
    score_NK = rng.gumbel(size=(len(truth_N), classes))
    score_NK[np.arange(len(truth_N)), truth_N] += 2.0
    exp_NK = np.exp(score_NK)
    return exp_NK / exp_NK.sum(1, keepdims=True)


def classification(classes: int = 4, samples: int = 200, **changes: Any) -> ReportContent:
    rng = np.random.default_rng(1)
    truth_N = rng.integers(0, classes, samples)
    predicted_NK = probabilities(truth_N, classes)
    names = changes.pop("names", None) or [f"class {i}" for i in range(classes)]
    wrong = np.flatnonzero(predicted_NK.argmax(1) != truth_N)[:5]
    mistakes = [
        Mistake(
            truth=names[truth_N[i]],
            predicted=names[predicted_NK[i].argmax()],
            probability=float(predicted_NK[i].max()),
            where=f"img_{i}.png",
            image_HWC=rng.integers(0, 256, (8, 8, 1)).astype(np.uint8),
        )
        for i in wrong
    ]
    accuracy = float((predicted_NK.argmax(1) == truth_N).mean()) if samples else float("nan")
    outcome = Outcome(
        split="test",
        metrics={"loss": 0.1234567, "accuracy": accuracy},
        truth=truth_N,
        predictions=predicted_NK,
        mistakes=mistakes,
    )
    content = ReportContent(
        run="lenet5-digits",
        model="lenet5",
        data="digits",
        task="classification",
        classes=names,
        card={
            "title": "LeNet-5 (modern)",
            "summary": "Two convolutions.",
            "paper": "Gradient-based learning",
            "authors": "LeCun",
            "year": 1998,
            "differences": ("plain pooling", "no distortions"),
            "reported": (
                {"dataset": "MNIST", "metric": "test error %", "value": 0.95, "source": "fig. 9", "note": ""},
            ),
            "parameters": 61706,
        },
        recipe={"lr": 0.001, "optimizer": "adamw", "clip": None, "flip": False},
        facts={"parameters": 61706, "data hash": "sha256:abc", "command": "lamina train lenet5 --data digits"},
        environment={"torch": "2.13.0"},
        history=[],
        outcomes=[outcome],
    )
    return replace(content, **changes)


def multilabel(labels: int = 5, samples: int = 80, **changes: Any) -> ReportContent:
    rng = np.random.default_rng(2)
    truth_NK = (rng.random((samples, labels)) < 0.4).astype(np.float32)
    truth_NK[:, -1] = 0  # a label that no sample has
    predicted_NK = 1 / (1 + np.exp(-(3 * truth_NK - 1.5 + rng.normal(size=truth_NK.shape))))
    names = changes.pop("names", [f"label {i}" for i in range(labels)])
    outcome = Outcome(split="test", metrics={"mean_average_precision": 0.9}, truth=truth_NK, predictions=predicted_NK)
    return classification(labels, task="multilabel", names=names, outcomes=[outcome], **changes)


def regression(outputs: int = 1, samples: int = 60, **changes: Any) -> ReportContent:
    rng = np.random.default_rng(3)
    truth_NK = rng.normal(100, 20, (samples, outputs))
    predicted_NK = truth_NK + rng.normal(1, 5, truth_NK.shape)
    mistakes = [
        Mistake(truth="100", predicted="120", error=20.0, where="row 3", values={"age": 41, "bmi": 27.5, "name": "Ann"})
    ]
    outcome = Outcome(
        split="test", metrics={"rmse": 5.1, "r2": 0.93}, truth=truth_NK, predictions=predicted_NK, mistakes=mistakes
    )
    names = changes.pop("names", [f"output {i}" for i in range(outputs)])
    return classification(outputs, task="regression", names=names, **{"outcomes": [outcome], **changes})


def internals(name: str = "conv") -> Internals:
    rng = np.random.default_rng(4)
    return Internals(
        filters_OIHW=rng.normal(size=(6, 1, 5, 5)),
        example_HWC=rng.integers(0, 256, (28, 28, 1)).astype(np.uint8),
        maps=[
            (f"{name} 1", rng.normal(size=(6, 14, 14))),
            (f"{name} 2", np.zeros((3, 5, 5))),
            (f"{name} 3", np.arange(84.0)),
        ],
        gradients=[(f"{name}.weight", 0.01), (f"{name}.bias", 0.2), (f"{name}.dead", 0.0)],
        importance=[("age", 0.01, 0.002), (f"{name} column", 0.3, 0.05), ("lost", float("nan"), float("nan"))],
    )
