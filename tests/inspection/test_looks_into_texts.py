"""Looks into runs on texts, and their reports: what they show is what the runs say."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

import lamina
from lamina.errors import UsageError
from lamina.inspection import TextInspection
from lamina.report.content import ReportContent
from lamina.report.text.inspection import render_text_inspection
from lamina.runs.run import Run
from lamina.runs.text import report as reporting_text
from lamina.runs.views.report import report_content
from sample_texts import BAD, GOOD, write_book, write_reviews

EVIL = "<script>alert(1)</script>"
NUMBERS = ("one", "two", "three", "four", "five")


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Running text with a strange line in its test part, reviews, and pairs whose second is the first turned round."""
    folder = tmp_path_factory.mktemp("looks")
    book = write_book(folder / "book.txt", lines=300)
    lines = book.read_text().splitlines()
    lines[:3] = [EVIL] * 3  # in training: every sign is known
    lines[290] = f"The cat sat on the {EVIL}."
    book.write_text("\n".join(lines) + "\n")
    reviews = write_reviews(folder / "reviews.tsv")
    reviews.write_text(reviews.read_text().replace("film", f"film {EVIL}"))
    draw = random.Random(2)
    (folder / "pairs").mkdir()
    for part, count in (("train", 300), ("valid", 20), ("test", 30)):
        rows = [draw.choices(NUMBERS, k=draw.randint(2, 4)) for _ in range(count)]
        (folder / "pairs" / f"{part}.aa").write_text("".join(" ".join(row) + f" {EVIL}\n" for row in rows))
        (folder / "pairs" / f"{part}.bb").write_text("".join(" ".join(row[::-1]) + "\n" for row in rows))
    return folder


def trained(name: str, data: Path, options: dict[str, object], **more: object) -> Run:
    return lamina.train(
        name, data=str(data), optimizer="adam", lr=0.01, batch_size=16, directory=data.parent, model_options=options,
        **more,
    )  # fmt: skip


@pytest.fixture(scope="session")
def writer(texts: Path) -> Run:
    widths = {"embedding_dim": 24, "hidden_size": 32, "num_layers": 1}
    return trained("lstm-lm-small", texts / "book.txt", widths, epochs=5, window=25)


@pytest.fixture(scope="session")
def reader(texts: Path) -> Run:
    widths = {"context": 24, "layers": 1, "width": 16, "heads": 2}
    return trained("transformer-lm", texts / "book.txt", widths, epochs=1, report=False)


@pytest.fixture(scope="session")
def critic(texts: Path) -> Run:
    return trained("gru-classifier", texts / "reviews.tsv", {"embedding_dim": 16, "hidden_size": 16}, epochs=4, seed=1)


@pytest.fixture(scope="session")
def translator(texts: Path) -> Run:
    widths = {"embedding_dim": 16, "hidden_size": 24, "attention_size": 16, "maxout": 16}
    return trained("seq2seq-attention", texts / "pairs", widths, epochs=4, tokenizer="word")


# ---------------------------------------------------------------- looks


def test_inspecting_a_language_model(writer: Run) -> None:
    text = "The cat sat on the mat"
    seen = writer.inspect(text=text)
    assert isinstance(seen, TextInspection)
    assert [trace.name for trace in seen.traces] == ["recurrent"]
    assert seen.following_V is not None
    code = writer.preprocess.code  # type: ignore[union-attr]
    assert code.decode([int(seen.following_V.argmax())]) == writer.generate(text, max_new_tokens=1, greedy=True)[0]
    look = writer.inspection(text=text)
    assert "".join(look.tokens) == look.text == text


def test_a_long_text_is_cut_at_the_context(reader: Run) -> None:
    text = "The cat sat on the mat and saw the sun."
    look = reader.inspection(text=text)
    assert look.text == text[:24]
    assert look.facts["inspected"] == "the first 24 of 39 tokens"
    assert [tuple(map_.shape) for map_ in look.seen.attention.values()] == [(2, 24, 24)]
    assert reader.inspect(text=text).tokens_T.shape == (24,)


def test_inspecting_a_classifier(critic: Run) -> None:
    text = f"A dull {EVIL} story, truly great."
    seen, said = critic.inspect(text=text), critic.predict(text)[0]
    assert seen.outputs_K is not None
    assert seen.outputs_K.tolist() == pytest.approx(list(said["probabilities"].values()), abs=1e-6)
    look = critic.inspection(text=text)
    assert look.target == said["class"]
    assert look.predictions[0][0] == said["class"]
    words = [text[begin:end] for begin, end in look.words]
    assert words[:2] == ["A", "dull"]
    assert words[-2:] == ["great", "."]
    without = critic.predict(text.replace("dull ", ""))[0]["probabilities"]
    assert look.seen.effects_WK is not None
    adds = look.seen.effects_WK[1, look.output]
    assert float(adds) == pytest.approx(said["probability"] - without[said["class"]], abs=1e-6)
    assert critic.inspection(None, "positive", text=text).output == critic.classes.index("positive")
    page = render_text_inspection(look)
    assert "<script" not in page
    assert "&lt;" in page


def test_inspecting_a_translator(translator: Run) -> None:
    text = f"one two three {EVIL}"
    look = translator.inspection(text=text)
    assert look.translation == translator.predict(text)[0]["translation"]
    assert look.source[-1] == "<eos>"
    assert look.output_tokens[-1] == "<eos>"
    assert look.tokens[0] == "<bos>"
    (attn_1TS,) = look.seen.alignments.values()
    assert attn_1TS.shape == (1, len(look.output_tokens), len(look.source))
    assert [trace.name for trace in look.seen.traces] == ["encoder", "encoder", "decoder"]
    assert "<script" not in render_text_inspection(look)


def test_errors_are_one_line(writer: Run, critic: Run, translator: Run) -> None:
    for run, given, says in (
        (writer, {"text": "The 漢"}, "the model does not know the character '漢'"),
        (writer, {"text": ""}, "the text is empty"),
        (writer, {"text": "The", "target": "positive"}, "has no classes"),
        (translator, {"text": "one", "target": 0}, "has no classes"),
        (critic, {"text": "dull", "target": "neutral"}, "unknown class 'neutral'"),
        (critic, {"text": "dull", "stage": 1}, "stage is for images"),
        (critic, {"text": ["dull"]}, "a text is a str, got list"),
        (critic, {"text": "dull", "image": "x.png"}, "give an image or a text"),
        (critic, {}, "give an image or a text"),
        (critic, {"image": "x.png"}, "takes text data, not images"),
    ):
        with pytest.raises(UsageError, match=says):
            run.inspect(**given)


# ---------------------------------------------------------------- reports


def page_of(run: Run) -> tuple[ReportContent, str]:
    text = (run.path / "report.html").read_text()
    assert "<script" not in text
    return report_content(run.view), text


def test_the_report_of_a_writer(writer: Run) -> None:
    content, text = page_of(writer)
    (outcome,) = content.outcomes
    found = outcome.text
    assert found is not None
    assert outcome.metrics == writer.evaluate()
    assert outcome.samples == len(writer.source.splits["test"])
    assert [one.epoch for one in content.training_samples] == [1, 2, 3, 4, 5]
    # what a book of cats and dogs did not let expect
    surprise = found.surprises[0]
    strange = (surprise.before + surprise.token).rpartition("The cat sat on the ")[2]
    assert strange
    assert EVIL.startswith(strange)
    assert surprise.bits == pytest.approx(-math.log2(surprise.probability))
    assert [one.bits for one in found.surprises] == sorted((one.bits for one in found.surprises), reverse=True)
    assert len({one.token for one in found.surprises}) == len(found.surprises)
    # one row from beginning to end is what evaluation reads, too, while the text is short
    assert found.bits == pytest.approx(outcome.metrics["bits_per_character"], rel=1e-4)
    assert "".join(mark.text for mark in found.opening) == writer.source.splits["test"].text[:600]
    for words in ("Samples during training", "Most surprising tokens", "Bits per character", "Gradient flow"):
        assert words in text


def test_the_report_of_a_critic(critic: Run) -> None:
    content, text = page_of(critic)
    found = content.outcomes[0].text
    assert found is not None
    assert found.attributed == len(critic.source.splits["test"])
    for name, speaking_for, speaking_against in found.influential_words:
        assert not speaking_against
        most = [row.word for row in speaking_for[:2]]
        assert set(most) <= set(GOOD if name == "positive" else BAD), most
    for mistake in content.outcomes[0].mistakes:
        assert mistake.text in critic.source.splits["test"].texts
        assert len(mistake.words) == len(mistake.effects)
    for words in ("Confusion", "Calibration", "Most influential words", "Gradient flow"):
        assert words in text


def test_the_report_of_a_translator(translator: Run) -> None:
    content, text = page_of(translator)
    (outcome,) = content.outcomes
    found = outcome.text
    assert found is not None
    assert {"bleu", "chrf", "exact_match"} < set(outcome.metrics)
    assert (found.translated, outcome.samples) == (30, 30)
    assert {one.epoch for one in content.training_samples} == {1, 2, 3, 4}
    assert all(one.truth for one in content.training_samples)
    for example in found.examples:
        assert example.predicted == translator.predict(example.source)[0]["translation"]
        assert example.attn_TS is not None
        assert example.attn_TS.shape == (len(example.rows), len(example.columns))
        assert example.attn_TS.sum(1) == pytest.approx(1.0)
    scores = [example.score for example in found.worst]
    assert scores == sorted(scores)
    assert all(example.predicted != example.truth for example in found.worst)
    for words in ("nrefs:1|case:mixed", "Examples", "Samples during training", "translation, aa to bb"):
        assert words in text
    assert "&lt;script&gt;" in text


def test_a_half_written_line_of_samples_is_left_out(writer: Run) -> None:
    file = writer.directory.samples
    whole = file.read_text()
    assert [one.text for one in writer.view.saved_samples()]
    try:
        file.write_text(whole + '{"epoch": 6, "st')
        assert [one.epoch for one in writer.view.saved_samples()] == [1, 2, 3, 4, 5]
        file.unlink()
        assert writer.view.saved_samples() == []
    finally:
        file.write_text(whole)


def test_a_long_text_has_no_word_effects(critic: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting_text, "LONG", 20)
    monkeypatch.setattr(reporting_text, "SHOWN", 10)
    told = reporting_text.text_sample(critic, "test", 0, 1)
    whole = critic.source.splits["test"].texts[0]
    assert told == {"where": "test text 0", "text": whole[:10] + " …"}
    assert reporting_text.attribution_outcome(critic, "test").attributed == 0
    monkeypatch.setattr(reporting_text, "LONG", 10_000)
    told = reporting_text.text_sample(critic, "test", 0, 1)
    assert max(end for _, end in told["words"]) <= 10
    assert len(told["words"]) == len(told["effects"]) > 0
    monkeypatch.setattr(reporting_text, "TOKENS", 300)
    assert 1 <= reporting_text.attribution_outcome(critic, "test").attributed <= 5
