"""Reports of models of text: what they wrote, what surprised them, which words tell, where they looked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from report_contents import Page, classification, history, page

from lamina.inspection.word_attribution import WordAttribution
from lamina.report.content import Mistake, Outcome, ReportContent
from lamina.report.marks import Mark, TrainingSample
from lamina.report.page import render_report
from lamina.report.text.content import Example, Surprise, TextOutcome
from lamina.report.text.training_samples import EPOCHS

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


def running(text: str = "the cat", **changes: Any) -> ReportContent:
    found = TextOutcome(
        read=20_000,
        bits=2.345,
        opening=[Mark(text="T"), Mark(text=text, depth=0.8, alt=f"1.0 %; expected “{text}”")],
        surprises=[Surprise(before=text, token="q", after=text, probability=0.0001, bits=13.29, expected=f"“{text}”")],
    )
    metrics = {"loss": 1.62, "perplexity": 5.07, "bits_per_character": 2.341, "accuracy": 0.52}
    outcome = Outcome(split="test", metrics=metrics, text=found, size=46_512, unit="character")
    rows = [
        {**row, "validation_perplexity": 9.0 / row["epoch"], "validation_bits_per_character": 3.0} for row in history(3)
    ]
    samples = [TrainingSample(epoch=epoch, given="The ", text=f"{text} {epoch}") for epoch in range(1, 4)]
    more = {
        "task": "language-modelling",
        "names": [],
        "history": rows,
        "training_samples": samples,
        "outcomes": [outcome],
    }
    return classification(2, 3, **{**more, **changes})


def classified(text: str = "not <b>good</b>", **changes: Any) -> ReportContent:
    words = [
        (
            "positive",
            [WordAttribution(word=text, effect=0.31, count=7)],
            [WordAttribution(word="dull", effect=-0.25, count=3)],
        ),
        ("negative", [], []),
    ]
    truth_N, predicted_NK = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    mistakes = [
        Mistake(
            truth="positive",
            predicted="negative",
            probability=0.8,
            where="test text 1",
            text=text,
            words=[(0, 3)],
            effects=[0.4],
        )
    ]
    outcome = Outcome(
        split="test",
        metrics={"accuracy": 2 / 3},
        truth=truth_N,
        predictions=predicted_NK,
        mistakes=mistakes,
        text=TextOutcome(influential_words=words, attributed=3),
    )
    return classification(2, **{"names": ["negative", "positive"], "outcomes": [outcome], **changes})


def translated(text: str = "2015-03-03", **changes: Any) -> ReportContent:
    attn = np.full((3, 4), 0.25)
    examples = [
        Example(
            source="3 mars 2015", truth=text, predicted=text, score=100.0, rows="abc", columns="wxyz", attn_TS=attn
        ),
        Example(source="4 mars", truth="04", predicted=text, score=12.5),
    ]
    found = TextOutcome(
        translated=200,
        examples=examples,
        worst=examples[1:],
        signatures={"bleu": "nrefs:1|case:mixed|tok:13a", "chrf": "nrefs:1|nc:6"},
    )
    metrics = {"loss": 0.2, "accuracy": 0.97, "exact_match": 0.912, "bleu": 93.456, "chrf": 95.1}
    outcome = Outcome(split="test", metrics=metrics, text=found, size=200, unit="pair")
    samples = [TrainingSample(epoch=epoch, given="3 mars", text=f"{epoch}-03", truth=text) for epoch in (1, 2)]
    more = {"task": "translation", "names": ["sv", "iso"], "training_samples": samples, "outcomes": [outcome]}
    return classification(2, 3, **{**more, **changes})


def test_a_language_model() -> None:
    found = page(running())
    for words in (
        "language modelling",
        "test split, 46 512 characters",
        "bits per character 2.341",
        "perplexity 5.070",
        "Samples during training",
        "epoch 3 The the cat 3",
        "In the first 20 000 tokens of the test split: 2.35 bits a token.",
        "the cat q the cat < 0.1 %, 13.3 bits; expected “the cat”",
    ):
        assert words in found.text, words
    titles = " ".join(found.labels())
    for words in ("loss over training", "perplexity over training", "bits per character over training"):
        assert words in titles
    assert [mark["class"] for mark in found.all("mark")] == ["right"] * 3 + ["wrong deep", "wrong deep"]


def test_some_epochs_of_many() -> None:
    samples = [TrainingSample(epoch=epoch, given="", text="x") for epoch in range(1, 31)]
    text = page(running(training_samples=samples)).text
    assert text.count("epoch 1 x") == text.count("epoch 30 x") == 1
    assert text.count(" x epoch ") == EPOCHS - 1


def test_a_classifier_of_texts() -> None:
    found = page(classified())
    for words in (
        "Most influential words",
        "3 texts of the test split",
        "Evidence for positive word adds occurs not <b>good</b> +0.310 7",
        "Evidence against positive word adds occurs dull −0.250 3",
        "predicted negative · 80.0 %, true positive · test text 1 not <b>good</b>",
        "Blue words raise the prediction",
        "Confusion",
        "Expected calibration error",
    ):
        assert words in found.text or words in found.source, words
    assert [(mark["class"], mark["title"]) for mark in found.all("mark")] == [("right deep", "adds +0.400")]
    none = TextOutcome(influential_words=[("positive", [], [])], attributed=3)
    outcome = Outcome(split="test", metrics={}, truth=np.array([0]), predictions=np.array([[1.0, 0.0]]), text=none)
    assert "No word occurs three times" in page(classified(outcomes=[outcome])).text


def test_a_translator() -> None:
    found = page(translated())
    for words in (
        "translation, sv to iso",
        "test split, 200 pairs",
        "exact match 91.2 %",
        "BLEU 93.46",
        "chrF 95.10",
        "token accuracy 97.0 %",
        "BLEU: nrefs:1|case:mixed|tok:13a",
        "3 mars epoch translation 1 1-03 2 2-03 reference 2015-03-03",
        "3 mars 2015 → 2015-03-03 correct",
        "4 mars → 2015-03-03 reference: 04 · chrF 12.5",
        "Worst translations",
        "of 200 of the test split",
    ):
        assert words in found.text, words
    assert "alignment of 2015-03-03 with 3 mars 2015" in found.labels()


def test_the_lines_of_a_text_are_kept() -> None:
    source = render_report(running("if x:\n    y"))
    assert "The </mark>if x:\n    y 1</p>" in source


@pytest.mark.parametrize("make", [running, classified, translated])
def test_every_text_is_escaped(make: Any) -> None:
    text = render_report(make(EVIL))
    assert not Page(text).open
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;" in text
