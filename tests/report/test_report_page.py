"""The page: complete, self-contained, escaped, and whole where something is missing."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_contents import classification, history, internals, multilabel, page, probabilities, regression

from lamina.report.content import Internals, Mistake, Outcome, ReportContent
from lamina.report.page import chosen, render_report
from waiting import CHILD_SECONDS

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
# Attributes through which a page could ask for something; and what each may hold here.
ASKS = {
    "src": r"data:image/(png|jpeg);base64,[\w+/=]+",
    "href": r"#[\w-]+|data:,|data:image/png;base64,[\w+/=\s]+|https://arxiv\.org/.*",
}


# ---------------------------------------------------------------- what it says


def test_classification_report() -> None:
    content = classification(internals=internals(), history=history(3), notes=["2 files were skipped"])
    found = page(content)
    accuracy = content.outcomes[0].metrics["accuracy"]
    for words in (
        "lenet5-digits",
        "LeNet-5 (modern) on digits",
        "finished",
        "classification, 4 classes",
        "61 706 parameters",
        f"{100 * accuracy:.1f} %",
        "0.1235",
        "2 files were skipped",
        "Expected calibration error",
        "Most confident mistakes",
        "First-layer filters",
        "Gradient flow",
        "Gradient-based learning",
        "plain pooling",
        "0.95",
        "adamw",
        "sha256:abc",
        "2.13.0",
        "lamina train lenet5 --data digits",
    ):
        assert words in found.text, words
    assert "not finished" not in found.text
    assert (
        len([tile for tile in found.all("img") if tile["alt"]]) == 5
    )  # the mistakes; filters and maps are one figure each
    alts = " ".join(found.labels())
    for words in ("loss over training", "Reliability", "Importance", "Gradient norm"):
        assert words in alts


def test_the_numbers_of_the_confusion_matrix_and_the_class_table() -> None:
    truth_N = np.array([0] * 8 + [1] * 4)
    predicted_NK = np.array([[0.9, 0.1]] * 6 + [[0.3, 0.7]] * 2 + [[0.2, 0.8]] * 3 + [[0.6, 0.4]])
    outcome = Outcome(split="test", metrics={"accuracy": 0.75}, truth=truth_N, predictions=predicted_NK)
    found = page(classification(2, names=["cat", "dog"], outcomes=[outcome]))
    cells = [(a["title"], a["class"]) for a in found.all("td") if a.get("title")]
    assert cells == [
        ("true cat, predicted cat: 6", "right deep"),
        ("true cat, predicted dog: 2", "wrong"),
        ("true dog, predicted cat: 1", "wrong"),
        ("true dog, predicted dog: 3", "right deep"),
    ]
    assert "9 of 12 test samples are right: 75.0 %" in found.text
    assert "frequent class, cat, would reach 66.7 %" in found.text
    # precision 6/7, recall 6/8, F1 12/15; 3/5, 3/4, 6/9
    assert "cat 85.7 % 75.0 % 80.0 % 8 7" in found.text
    assert "dog 60.0 % 75.0 % 66.7 % 4 5" in found.text
    assert "mean 72.9 % 75.0 % 73.3 % 12 12" in found.text
    confident = (0.9 * 6 + 0.7 * 2 + 0.8 * 3 + 0.6) / 12
    assert f"confidence {100 * confident:.1f} %, accuracy 75.0 %" in found.text


def test_many_classes_are_an_image_beside_the_top_confusions() -> None:
    found = page(classification(100, 3000))
    assert not [a for a in found.all("table") if (a.get("class") or "").startswith("matrix")]
    assert "Confusion matrix of 100 classes" in " ".join(found.labels())
    assert "Most frequent confusions" in found.text
    assert "Lowest F1 first" in found.text
    assert found.text.count("class 57") >= 3  # at both axes and in the table
    assert not any("Confusion" in name for name in page(classification(401, 500)).labels())


def test_multilabel_report() -> None:
    found = page(multilabel())
    assert "multi-label, 5 labels" in found.text
    assert re.search(r"label 4 – [\d.]+ % – ", found.text)  # no sample has it: no AP, no recall
    assert "Precision against recall" in " ".join(found.labels())
    assert "label 4" not in " ".join(found.labels())
    many = " ".join(page(multilabel(30)).labels())
    assert len(set(re.findall(r"label \d+", many))) == 8


def test_regression_report() -> None:
    found = page(regression(internals=internals()))
    for words in ("RMSE", "R²", "0.930", "Worst errors", "+20", "row 3", "bmi", "27.5", "Ann"):
        assert words in found.text, words
    alts = " ".join(found.labels())
    for words in ("Predicted against true", "Histogram of residuals", "Residuals against", "Importance by permutation"):
        assert words in alts
    assert found.labels()[-2].startswith("Importance by permutation: conv column 0.300, age")
    assert "Zero or not finite: conv.dead" in found.text


def test_regression_of_several_outputs_names_each() -> None:
    found = page(regression(5))
    assert all(f"output {i}" in found.text for i in range(5))
    assert len([words for words in found.labels() if "Histogram" in words]) == 3
    assert "The first 3 outputs are drawn" in found.text


def test_many_points_are_drawn_as_pixels() -> None:
    small, large = render_report(regression(1, 500)), render_report(regression(1, 30_000))
    assert "<image" not in small
    assert "<image" in large
    assert len(large) < 500_000


def test_an_unfinished_run_says_so() -> None:
    assert "not finished" in page(classification(finished=False)).text


def test_test_split_before_validation() -> None:
    test = classification().outcomes[0]
    validation, other = replace(test, split="validation"), replace(test, split="train")
    assert chosen([other, validation, test]) is test
    assert chosen([other, validation]) is validation
    assert chosen([other]) is other
    assert "All splits" in page(classification(outcomes=[validation, test])).text


def test_learning_curves() -> None:
    rows = [{**row, "best": float(row["epoch"] in (1, 3))} for row in history(6, lr=0.001, validation_accuracy=0.75)]
    found = page(classification(history=rows, outcomes=[]))
    assert found.labels() == [
        "loss over training: train 2 to 0.333, validation 2.5 to 0.417",
        "accuracy in % over training: validation 75 to 75",
        "learning rate over training: 0.001 to 0.001",
    ]
    assert "At the end: train 0.333, validation 0.417" in found.text
    assert "The weights kept are those after epoch 3 (dotted line)" in found.text


def test_a_single_epoch_is_counted_in_whole_numbers() -> None:
    found = page(classification(history=history(1), outcomes=[]))
    ticks = re.findall(r"<text[^>]*>([^<]*)</text>", found.source)
    assert "epoch" in ticks
    assert not any(tick.startswith(("0.9", "1.0")) for tick in ticks), ticks


# ---------------------------------------------------------------- alone, without script, small


@pytest.mark.parametrize(
    "content", [classification(internals=internals(), history=history(2)), multilabel(), regression()]
)
def test_the_page_asks_nobody_for_anything(content: ReportContent) -> None:
    found = page(content)
    for tag, attributes in found.elements:
        for name, value in attributes.items():
            if name in ASKS:
                assert re.fullmatch(ASKS[name], value or ""), (tag, name, value)
    assert not {"script", "iframe", "object", "embed", "form", "audio", "video"} & {t for t, _ in found.elements}
    assert "@import" not in found.source
    assert not re.search(r"url\((?!#)", found.source)
    policy = [a["content"] for a in found.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_identifiers_are_unique_and_references_resolve() -> None:
    found = page(classification(30, 400, internals=internals()))
    identifiers = [a["id"] for _, a in found.elements if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    pointed = re.findall(r'(?:url\(|href=")#([\w-]+)', found.source)
    assert set(pointed) <= set(identifiers)
    assert pointed


def test_figures_follow_the_page() -> None:
    """Every colour of a drawing is a variable of the style sheet, which has a value for light and for dark."""
    found = page(classification(internals=internals(), history=history(2)))
    style = found.source[found.source.index("<style>") : found.source.index("</style>")]
    used = set()
    for tag, attributes in found.elements:
        if tag in ("path", "text", "use", "g"):
            drawn = attributes.get("style") or ""
            assert not re.search(r"#[0-9a-f]{3,6}|\brgb", drawn), drawn
            used |= set(re.findall(r"var\((--[\w-]+)\)", drawn))
    assert "DejaVu" not in found.source  # text is set in the page's typeface
    assert {"--muted", "--rule", "--series-1", "--series-2"} <= used
    for name in used:
        assert style.count(f"{name}:") == 2, name


def test_every_figure_and_image_has_words_and_every_table_headers() -> None:
    found = page(classification(internals=internals()))
    assert all(a["role"] == "img" and a["aria-label"] for a in found.all("svg"))
    assert all("alt" in a for a in found.all("img"))
    assert all(a.get("scope") in ("row", "col") for a in found.all("th"))
    assert found.all("table")
    assert found.source.startswith("<!DOCTYPE html>")


def test_an_mnist_like_page_is_small() -> None:
    rng = np.random.default_rng(0)
    mistakes = [
        Mistake(
            truth="1",
            predicted="7",
            probability=0.9,
            where="x",
            image_HWC=rng.integers(0, 256, (28, 28, 1)).astype("uint8"),
        )
        for _ in range(24)
    ]
    content = classification(10, 10_000, internals=internals(), history=history(100))
    content = replace(content, outcomes=[replace(content.outcomes[0], mistakes=mistakes)])
    assert len(render_report(content).encode()) < 600_000


def test_large_photographs_are_shrunk() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3)).astype(np.uint8)
    mistakes = [Mistake(truth="a", predicted="b", probability=0.5, image_HWC=photo)] * 2
    content = classification()
    found = page(replace(content, outcomes=[replace(content.outcomes[0], mistakes=mistakes)]))
    [first, _] = found.all("img")
    assert first["width"] == "112"
    assert first["height"] == "84"
    assert len(first["src"] or "") < 60_000


def test_the_same_content_gives_the_same_bytes() -> None:
    assert render_report(classification(history=history(2))) == render_report(classification(history=history(2)))


def test_heavy_libraries_wait_until_a_page_is_rendered(tmp_path: Path) -> None:
    """And pyplot, with its global state, is never imported; nor does the user's own matplotlib style leak in."""
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 31\ntext.usetex: True\n")
    code = """
import json, sys
import lamina.report.page
early = {name for name in ("matplotlib", "jinja2", "PIL", "torch") if name in sys.modules}
from report_contents import classification
text = lamina.report.page.render_report(classification())
print(json.dumps([sorted(early), "matplotlib.pyplot" in sys.modules, "stroke-width: 31" in text]))
"""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}){code}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CHILD_SECONDS, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], False, False]


def test_rendering_leaves_matplotlib_as_it_was() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    render_report(classification())
    assert dict(matplotlib.rcParams) == before


# ---------------------------------------------------------------- hostile names


def hostile(content: ReportContent, name: str) -> ReportContent:
    """``name`` wherever a name can stand."""
    content = replace(
        content,
        run=name,
        model=name,
        data=name,
        card={"title": name, "summary": name, "paper": name, "authors": name, "year": name, "differences": [name],
              "arxiv": f"javascript:{name}",
              "reported": [dict.fromkeys(("dataset", "metric", "value", "source", "note"), name)]},
        recipe={name: name},
        facts={name: name, "command": name},
        environment={name: name},
        notes=[name],
        internals=internals(name),
        history=[{**row, f"train_{name}": 1.0} for row in history(3)],
    )  # fmt: skip
    mistakes = [
        Mistake(truth=name, predicted=name, probability=0.5, where=name, values={name: name}),
        Mistake(truth=name, predicted=name, probability=0.5, where=name, image_HWC=np.zeros((4, 4, 1), np.uint8)),
    ]
    outcome = replace(content.outcomes[0], mistakes=mistakes, metrics={name: 1.0, "accuracy": 0.5})
    return replace(content, outcomes=[outcome, replace(outcome, split=name)])


@pytest.mark.parametrize(
    "content",
    [
        classification(3, names=[EVIL, "b", EVIL + "c"]),
        classification(30, 400, names=[EVIL] * 30),
        multilabel(3, names=[EVIL] * 3),
        regression(2, names=[EVIL] * 2),
    ],
    ids=["classes", "many classes", "labels", "outputs"],
)
def test_names_are_never_markup(content: ReportContent) -> None:
    found = page(hostile(content, EVIL))
    names = [tag for tag, _ in found.elements]
    assert "script" not in names
    assert not [a for a in found.all("img") if a.get("src") == "x"]
    for tag, attributes in found.elements:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert "javascript:" not in (attributes.get("href") or "").lower()
    assert "<script" not in found.source
    assert found.text.count("<script>alert(1)</script>") > 10  # it is there, as text
    assert any("<script>alert(1)</script>" in words for words in found.labels())
    assert any("<script>alert(1)</script>" in (a.get("alt") or "") for a in found.all("img"))


def test_names_are_not_mathematics() -> None:
    names = [r"$\frac{1}{2}$", "a_b^c", r"\alpha"]
    content = multilabel(3, names=names, internals=internals("$x_1$"))
    found = page(content)
    texts_in_figures = " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", found.source))
    assert r"$\frac{1}{2}$" in texts_in_figures
    assert "a_b^c" in texts_in_figures
    assert "$x_1$.bias" in texts_in_figures


def test_names_of_any_alphabet_and_of_none() -> None:
    names = ["猫 \U0001f408", "قط", "a\x00b\x1b[31m", "undecodable \udcff", "x" * 500]
    content = hostile(classification(5, names=names), "bad\x00name\udcff")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = page(content)
    found.source.encode()
    assert "猫" in found.text
    assert "\x00" not in found.source


# ---------------------------------------------------------------- what is missing


def nothing_of(content: ReportContent, width: int) -> ReportContent:
    """The same, of a split without samples."""
    first = content.outcomes[0]
    truth = np.empty((0,) if first.truth.ndim == 1 else (0, width))
    empty = replace(first, truth=truth, predictions=np.empty((0, width)), mistakes=(), metrics={"accuracy": math.nan})
    return replace(content, outcomes=[empty])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (classification(history=[]), "No epoch was finished"),
        (classification(history=history(1)), "LeNet-5"),
        (classification(history=[{"epoch": 1, "train_loss": math.nan}]), "No finite value was logged"),
        (classification(history=[{"epoch": 1, "train_loss": 1.0}, {"epoch": 2, "train_loss": math.inf}]), "no valid"),
        (classification(history=[{"step": 5, "train_loss": 0.0, "validation_f1": 0.2}, {"step": 9, "lr": 0.0}]), "F1"),
        (classification(outcomes=[]), "Nothing was evaluated"),
        (classification(card={}, recipe={}, facts={}, environment={}), "Nothing is recorded"),
        (classification(card={}), "This model has no card"),
        (classification(internals=Internals()), "LeNet-5"),
        (classification(task="next-token"), "next-token"),
        (classification(1, 10), "100.0 %"),
        (classification(2, 1), "1 sample"),
        (multilabel(1, 1), "of 1 test samples"),
        (regression(1, 1), "R²"),
        (nothing_of(classification(), 4), "The test split has no samples"),
        (nothing_of(multilabel(), 5), "The test split has no samples"),
        (nothing_of(regression(2), 2), "The test split has no samples"),
    ],
)  # fmt: skip
def test_a_page_is_whole_without(content: ReportContent, words: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = page(content)
    assert words in found.text
    assert not re.search(r"\b(nan|None|inf)\b", found.text)


def test_a_class_that_the_split_lacks_has_dashes() -> None:
    content = classification(4)
    truth_N = np.array([0, 0, 1, 1, 2])
    predicted_NK = np.eye(4)[[0, 1, 1, 1, 2]] * 0.9 + 0.025
    found = page(replace(content, outcomes=[replace(content.outcomes[0], truth=truth_N, predictions=predicted_NK)]))
    assert "Without samples in it: class 3" in found.text
    assert "class 3 – – – 0 0" in found.text


def test_samples_without_finite_probabilities_are_counted_not_scored() -> None:
    content = classification(3, 50)
    predicted_NK = probabilities(np.asarray(content.outcomes[0].truth), 3)
    predicted_NK[:7] = math.nan
    found = page(replace(content, outcomes=[replace(content.outcomes[0], predictions=predicted_NK)]))
    assert "7 samples are left out" in found.text
    assert "of 43 test samples are right" in found.text
    everything = replace(content.outcomes[0], predictions=np.full((50, 3), math.nan))
    assert "no finite probabilities for the 50 samples" in page(replace(content, outcomes=[everything])).text


def test_constant_and_extreme_values() -> None:
    constant = Outcome(
        split="test", metrics={"r2": math.nan}, truth=np.full((9, 1), 3.0), predictions=np.full((9, 1), 3.0)
    )
    huge = Outcome(
        split="test", metrics={"rmse": 1e300}, truth=np.array([[1e9], [-1e9]]), predictions=np.array([[1e-9], [5.0]])
    )
    broken = Outcome(
        split="test", metrics={"rmse": math.inf}, truth=np.ones((3, 1)), predictions=np.full((3, 1), math.nan)
    )
    for outcome in (constant, huge, broken):
        assert "test" in page(regression(outcomes=[outcome])).text
    assert "no samples with finite predictions" in page(regression(outcomes=[broken])).text


def test_unusual_insides() -> None:
    """Other shapes of filters and maps than two-dimensional convolutions have, and values that are not finite."""
    rng = np.random.default_rng(0)
    odd = Internals(
        filters_OIHW=np.full((2, 7, 1, 1), np.inf),
        example_HWC=rng.integers(0, 256, (9, 9, 5)).astype(np.uint8),
        maps=[("wide", rng.normal(size=25_000)), ("one", np.ones(1)), ("bad", np.full((2, 3, 3), np.nan)),
              ("flat", np.ones((4, 4)))],
        gradients=[(f"layer {i}", 10.0**-i) for i in range(90)],
        importance=[("only", 0.0, math.nan)],
    )  # fmt: skip
    found = page(classification(internals=odd))
    assert "1024 of 25000 units" in found.text
    assert "2 of 2 filters" in found.text
    assert "Gradient norm over weight norm of 90 parameters" in " ".join(found.labels())
    dead = Internals(gradients=[("a", 0.0), ("b", math.nan)], filters_OIHW=np.ones((3, 2, 5)))
    assert "Zero or not finite: a, b" in page(classification(internals=dead)).text
    assert "3 of 3 do not vary" in page(classification(internals=internals())).text
