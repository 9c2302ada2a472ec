"""The page and the pictures of a look into a text: escaped, complete, and showing what the tensors say."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from report_contents import Page

import lamina
from lamina.data.text.tokenizing import TextCode
from lamina.inspection import inspect_classified_text, inspect_running_text, inspect_translation, token_surprisal
from lamina.inspection.pieces import pieces_of, words_of
from lamina.report.marks import word_marks
from lamina.report.text.figures import attention, token_label
from lamina.report.text.highlights import chance, quoted, surprise_marks
from lamina.report.text.inspection import TextPage, render_text_inspection, text_png_files

EVIL = '<script>alert(1)</script> "><img src=x onerror=alert(2)>'


def running(name: str = "transformer-lm", text: str = "The cat sat.\n", **options: Any) -> TextPage:
    code = TextCode.fit([text], "character", "language-modelling")
    torch.manual_seed(0)
    model = lamina.create_model(name, vocab_size=code.size, **options).eval()
    tokens = torch.tensor(code.encode(text))
    return TextPage(
        name="lm-cats",
        model=name,
        text=text,
        seen=inspect_running_text(model, tokens),
        tokens=pieces_of(code, tokens.tolist()),
        token=lambda index: pieces_of(code, [index])[0],
        facts={"weights": "the best of runs/lm-cats"},
    )


def classified(text: str = "Not good, bad.", **options: Any) -> TextPage:
    code = TextCode.fit([text], "word", "classification")
    torch.manual_seed(0)
    model = lamina.create_model("lstm-classifier", vocab_size=code.size, bidirectional=True, **options).eval()
    tokens, words = torch.tensor(code.encode(text)), words_of(text, code.spans(text))

    def say(tokens_BT: torch.Tensor, lengths_B: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            probability: torch.Tensor = model(tokens_BT, lengths=lengths_B).softmax(-1)
            return probability

    return TextPage(
        name="feelings",
        model="lstm-classifier",
        text=text,
        seen=inspect_classified_text(model, tokens, [word.places for word in words], say),
        tokens=pieces_of(code, tokens.tolist()),
        target="negative",
        output=0,
        predictions=[("negative", "61.0 %"), ("positive", "39.0 %")],
        words=[(word.begin, word.end) for word in words],
    )


def translated(name: str = "transformer-small", **options: Any) -> TextPage:
    code = TextCode.fit(["3 mars 2015"], "character", "translation")
    torch.manual_seed(0)
    model = lamina.create_model(name, vocab_size=code.size, source_vocab_size=code.size, **options).eval()
    assert code.begin is not None
    assert code.end is not None
    source, written = [*code.encode("3 mars"), code.end], [*code.encode("2015"), code.end]
    seen = inspect_translation(model, torch.tensor(source), torch.tensor([code.begin, *written]))
    return TextPage(
        name="dates",
        model=name,
        text="3 mars",
        seen=seen,
        tokens=pieces_of(code, seen.tokens_T.tolist()),
        source=pieces_of(code, source),
        output_tokens=pieces_of(code, written),
        translation="2015",
        token=lambda index: pieces_of(code, [index])[0],
    )


SMALL = {"layers": 2, "width": 8, "heads": 2, "hidden": 12}


def shown(content: TextPage) -> Page:
    found = Page(render_text_inspection(content))
    assert not found.open
    return found


def test_a_language_model_shows_the_surprisal() -> None:
    content = running(**SMALL)
    found = shown(content)
    assert content.seen.surprisal is not None
    for words in (
        "lm-cats",
        "a text of 13 tokens",
        "trained weights",
        "Most probable next tokens: “",
        "Surprisal",
        "“⏎”",
        "stack.blocks.0.attention",
        "Gradient by lag",
        "the best of runs/lm-cats",
    ):
        assert words in found.text, words
    row = f"“h” {chance(float(content.seen.surprisal.probability_T[0]))} {float(content.seen.surprisal.bits[0]):.2f} “"
    assert row.replace("\u00a0", " ") in found.text
    assert "Gates over time" not in found.text
    assert set(text_png_files(content)) == {
        "attention-0", "attention-0-heads", "attention-1", "attention-1-heads", "gradient-by-lag",
    }  # fmt: skip


def test_gates_are_drawn_of_a_recurrent_model() -> None:
    content = running("lstm-lm", embedding_dim=4, hidden_size=5)
    found = shown(content)
    assert "recurrent, layer 1" in found.text
    assert "the cells that vary most" in found.text
    assert any(name.startswith("Gates and cells over 13 tokens, means over time: input 0.") for name in found.labels())
    assert set(text_png_files(content)) == {"gates-0", "gates-1", "gradient-by-lag"}
    found = shown(running("rnn-lm", embedding_dim=4, hidden_size=5))
    assert "the hidden states that vary most" in found.text
    assert "Gates and hidden states over 13 tokens" in found.labels()


def test_a_classifier_shows_the_word_attribution() -> None:
    content = classified(embedding_dim=4, hidden_size=5)
    found = shown(content)
    for words in ("negative 61.0 %", "What each word adds to negative", "layer 0, backward"):
        assert words in found.text, words
    marks = found.all("mark")
    effects = content.seen.effects_WK
    assert effects is not None
    assert {mark["class"] for mark in marks} <= {"right", "wrong", "right deep", "wrong deep"}
    most = int(effects[:, 0].abs().argmax())
    assert any((mark["style"] or "") == "--depth:0.9" for mark in marks)
    assert (found.text.split("negative word adds ")[1]).startswith(content.text[slice(*content.words[most])])


@pytest.mark.parametrize(
    ("name", "options", "files"),
    [
        ("transformer-small", SMALL, {"alignment-0", "alignment-1-heads", "attention-3"}),
        ("seq2seq-attention", {"embedding_dim": 4, "hidden_size": 5, "maxout": 3}, {"alignment-0", "gates-2"}),
        ("seq2seq", {"embedding_dim": 4, "hidden_size": 5, "num_layers": 1}, {"gates-0", "gates-1"}),
    ],
)
def test_a_translation_is_shown_with_its_alignment(name: str, options: dict[str, Any], files: set[str]) -> None:
    content = translated(name, **options)
    found = shown(content)
    for words in ("source 3 mars", "translation 2015", "a text of 7 tokens, and its translation", "“<eos>”"):
        assert words in found.text, words
    assert ("Columns: source tokens" in found.text) == (name != "seq2seq")
    pictures = text_png_files(content)
    assert files <= set(pictures)
    assert len([name for name in pictures if name.startswith("alignment") and "heads" not in name]) == len(
        content.seen.alignments
    )


@pytest.mark.parametrize("make", [running, classified])
def test_every_text_is_escaped(make: Any) -> None:
    content = make(text=EVIL) if make is classified else make(text=EVIL, **SMALL)
    content = replace(content, name=EVIL, model=EVIL, target=EVIL, predictions=[(EVIL, "1 %")], facts={EVIL: EVIL})
    text = render_text_inspection(content)
    assert not Page(text).open
    assert "<script" not in text
    assert "<img src=x" not in text
    text = render_text_inspection(replace(translated(**SMALL), text=EVIL, translation=EVIL))
    assert not Page(text).open
    assert "<script" not in text


def test_one_token_has_nothing_before_it() -> None:
    found = shown(running(text="x", **SMALL))
    assert "a text of 1 token " in found.text
    assert "Surprisal" not in found.text
    assert "How far back" not in found.text


def test_the_files_are_pictures() -> None:
    for content in (running(**SMALL), running("gru-lm", embedding_dim=4, hidden_size=5)):
        files = text_png_files(content)
        for name, data in files.items():
            picture = Image.open(io.BytesIO(data))
            assert picture.format == "PNG"
            assert np.asarray(picture.convert("RGB")).std() > 3, name
        assert files == text_png_files(content), "the same look gives the same bytes"


def test_a_map_is_dark_where_it_looks() -> None:
    attn = np.zeros((4, 6))
    attn[np.arange(4), np.arange(4)] = 1.0
    picture = np.asarray(Image.open(io.BytesIO(attention(attn, "abcd", "uvwxyz", "a map").png())).convert("L"))
    dark = picture < 180
    inside = dark[dark.shape[0] // 3 :, dark.shape[1] // 3 :]  # without the names at the axes
    assert 0.05 < inside.mean() < 0.4
    long = attention(np.ones((200, 200)) / 200, ["x"] * 200, ["x"] * 200, "a map")
    assert (long.width, long.height) == (1100, 1080)


def test_marks_are_as_strong_as_what_they_say() -> None:
    found = token_surprisal(
        torch.tensor([[0.4, 0.25, 0.35]] * 2 + [[0.998, 0.002, 0.0]]).log(), torch.tensor([0, 1, 1]), 2
    )
    depths = [mark.depth for mark in surprise_marks(["a", "b", "c"], found, "abc".__getitem__)]
    assert depths == pytest.approx([-0.9 * np.log2(0.4) / 12, 0.9 * 2 / 12, 0.9 * np.log2(500) / 12], rel=1e-4)
    marks = surprise_marks(["c"], found, "abc".__getitem__, first=2)
    assert marks[0].alt == "0.2\u00a0%; expected “a” 99.8\u00a0%, “b” 0.2\u00a0%"
    marks = word_marks("so good, no", [(0, 2), (3, 7), (9, 11)], np.array([0.001, 0.3, -0.15]))
    assert [(mark.text, mark.right, round(mark.depth, 2)) for mark in marks] == [
        ("so", True, 0.0), (" ", False, 0.0), ("good", True, 0.9), (", ", False, 0.0), ("no", False, 0.45),
    ]  # fmt: skip
    assert "".join(mark.text for mark in word_marks("a b ", [(0, 1)], np.array([0.0]))) == "a b "


@pytest.mark.parametrize(("piece", "name"), [(" the", "the"), (" ", "␣"), ("\n", "⏎"), ("", ""), ("a\tb", "a⇥b")])
def test_tokens_have_names(piece: str, name: str) -> None:
    assert token_label(piece) == name


@pytest.mark.parametrize(("piece", "shown"), [(" the", "“␣the”"), ("the", "“the”"), ("\n", "“⏎”"), ("", "“nothing”")])
def test_a_space_is_seen_in_quotation_marks(piece: str, shown: str) -> None:
    assert quoted(piece) == shown
