"""Runs on text: they learn, say the same when opened again, write, translate, and resume to the bit."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lamina
from lamina.data.targets.code import TargetCode
from lamina.data.text.preprocess import TextPreprocess
from lamina.data.text.tokenizing import TextCode
from lamina.errors import RunError, UsageError
from lamina.runs.run import Run
from lamina.runs.text import generation as generating
from lamina.runs.training import prepare
from lamina.tasks.facts import quality
from lamina.tasks.generation_options import GenerationOptions
from lamina.training.checkpoints import Checkpoints, load_checkpoint
from lamina.training.events import StepDone
from sample_texts import write_book, write_reviews

LSTM = {"embedding_dim": 24, "hidden_size": 32, "num_layers": 1}
TRANSFORMER = {"context": 24, "layers": 1, "width": 32, "heads": 2}
TRANSLATOR = {"layers": 1, "width": 32, "heads": 2, "hidden": 64, "dropout": 0.1}


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    write_book(folder / "book.txt", lines=300)
    write_reviews(folder / "reviews.tsv")
    return folder


@pytest.fixture(scope="session")
def writer(texts: Path) -> Run:
    """A language model that carries a state."""
    return lamina.train(
        "lstm-lm-small", data=str(texts / "book.txt"), epochs=6, batch_size=8, window=25, optimizer="adam", lr=0.01,
        weight_decay=0.0, clip=5.0, warmup=0.0, directory=texts, report=False, model_options=LSTM,
    )  # fmt: skip


@pytest.fixture(scope="session")
def reader(texts: Path) -> Run:
    """A language model with a context."""
    return lamina.train(
        "transformer-lm", data=str(texts / "book.txt"), epochs=2, batch_size=16, lr=0.003, directory=texts,
        report=False, model_options=TRANSFORMER,
    )  # fmt: skip


@pytest.fixture(scope="session")
def critic(texts: Path) -> Run:
    return lamina.train(
        "lstm-classifier", data=str(texts / "reviews.tsv"), epochs=4, batch_size=16, lr=0.01, directory=texts,
        report=False, model_options={"embedding_dim": 16, "hidden_size": 16, "bidirectional": True},
    )  # fmt: skip


@pytest.fixture(scope="session")
def translator(texts: Path) -> Run:
    return lamina.train(
        "transformer-small", data="territories", epochs=2, batch_size=16, lr=0.003, directory=texts, report=False,
        model_options=TRANSLATOR,
    )  # fmt: skip


def test_a_language_model_learns_and_writes_what_it_has_read(writer: Run) -> None:
    figures = writer.evaluate()
    assert figures["perplexity"] < 2.5, "letters alone give 12"
    again = lamina.open_run(writer.path)
    assert again.evaluate() == figures
    assert writer.history[-1]["validation_perplexity"] == pytest.approx(writer.evaluate("validation")["perplexity"])
    text = again.generate("The cat ", max_new_tokens=80, greedy=True)[0]
    assert len(text) == 80
    assert "sat on the " in text
    assert {path.name for path in writer.path.iterdir()} >= {"tokenizer.json", "preprocess.json", "samples.jsonl"}


def test_a_text_is_the_same_however_it_is_asked_for(writer: Run, reader: Run) -> None:
    for run, most in ((writer, 60), (reader, 12), (reader, 60)):  # within a context of 24, and over several
        prompts = ["The dog ", "The b"]
        manner: dict[str, Any] = {"max_new_tokens": most, "temperature": 0.7, "seed": 3}
        first, second = run.generate(*prompts, **manner)
        assert first != second
        pieces = list(run.stream(prompts[0], **manner))
        assert len(pieces) > most / 2, "it comes as it is written"
        assert "".join(pieces) == first
        assert run.generate(prompts[0], **manner) == [first]
        assert run.generate(prompts[0], **{**manner, "seed": 4}) != [first]
    written = "".join(writer.stream("The ", max_new_tokens=200, stop=(".",)))
    assert written.endswith(".")
    assert written.count(".") == 1
    assert writer.generate(
        "The ",
        max_new_tokens=200,
        stop=[
            ".",
        ],
    ) == [written]


@pytest.mark.parametrize(("kind", "vocabulary"), [("bpe", 257), ("word", None), ("character", None)])
def test_a_text_is_written_without_a_seam(kind: Any, vocabulary: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Characters of several tokens come whole, words with the space between them."""
    text = "Größe über Maß, 東京 und 🎉 \n" * 3
    code = TextCode.fit([text], kind, "language-modelling", vocabulary=vocabulary)
    preprocess = TextPreprocess(target=TargetCode(task="language-modelling"), code=code, max_tokens=99)
    tokens = code.encode(text)
    prompt, new = tokens[:2], tokens[2:]
    monkeypatch.setattr(generating, "_tokens", lambda *_: (token for token in new))
    options = GenerationOptions(max_new_tokens=len(new))
    pieces = list(generating.continue_tokens(nn.Identity(), preprocess, prompt, options))
    assert "".join(pieces) == code.decode(tokens)[len(code.decode(prompt)) :]
    assert not any("\ufffd" in piece for piece in pieces), "half a character is never shown"
    assert {"bpe": "🎉", "word": " und", "character": "京"}[kind] in pieces
    options = GenerationOptions(max_new_tokens=99, stop=("Maß",))
    stopped = "".join(generating.continue_tokens(nn.Identity(), preprocess, prompt, options))
    assert stopped.rstrip(",").endswith(" Maß")


def test_tied_weights_are_kept_and_opened_again(texts: Path, tmp_path: Path) -> None:
    run = lamina.train(
        "lstm-lm-small", data=str(texts / "book.txt"), steps=4, batch_size=8, directory=tmp_path, report=False, ema=0.5,
        model_options={"embedding_dim": 16, "hidden_size": 16, "tied": True},
    )  # fmt: skip
    again = lamina.open_run(run.path)
    assert again.model.embedding.weight is again.model.head.weight
    assert again.evaluate("test") == run.evaluate("test")


def test_samples_are_kept_through_training(writer: Run, translator: Run) -> None:
    rows = [json.loads(line) for line in writer.directory.samples.read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, 7))
    assert len({row["prompt"] for row in rows}) == 1
    assert len(rows[-1]["text"]) == 200
    assert "sat on the" in rows[-1]["text"]
    assert rows[0]["text"] != rows[-1]["text"]
    rows = [json.loads(line) for line in translator.directory.samples.read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 1, 1, 2, 2, 2]
    pairs = translator.source.splits["validation"]
    assert [(row["source"], row["truth"]) for row in rows[:3]] == list(zip(pairs.sources, pairs.texts, strict=True))[:3]  # type: ignore[union-attr]


def test_a_classifier_judges_sentences(critic: Run, texts: Path) -> None:
    assert critic.evaluate()["accuracy"] > 0.95
    good, bad = critic.predict("A wonderful story, truly moving.", "The awful cast, at times boring.")
    assert (good["class"], bad["class"]) == ("positive", "negative")
    together = critic.predict(["A wonderful story, truly moving.", "The awful cast, at times boring."])
    assert [one["probability"] for one in together] == pytest.approx([good["probability"], bad["probability"]])
    (texts / "new.txt").write_text("A wonderful story, truly moving.\n\nThe awful cast, at times boring.\n")
    assert [one["class"] for one in critic.predict(texts / "new.txt")] == ["positive", None, "negative"]
    embedded = critic.embed("A wonderful story, truly moving.")
    assert embedded.shape == (1, 32)
    said = critic.model.head(embedded).softmax(1)[0, 1].item()  # type: ignore[operator]
    assert good["probabilities"]["positive"] == pytest.approx(said, abs=1e-6)
    outcome = critic.outcome()
    assert (outcome["probabilities"].argmax(1) == outcome["target"]).float().mean() == pytest.approx(
        critic.evaluate()["accuracy"]
    )


def test_a_translator_translates_what_it_is_given(translator: Run) -> None:
    figures = translator.evaluate("validation")
    assert set(quality(figures)) == {"loss", "accuracy", "exact_match", "bleu", "chrf"}
    pairs = translator.source.splits["validation"]
    sources, truth = pairs.sources, pairs.texts  # type: ignore[union-attr]
    said = translator.predict(*sources)
    one_by_one = [translator.predict(source)[0]["translation"] for source in sources[:3]]
    assert [one["translation"] for one in said[:3]] == one_by_one
    exact = sum(one["translation"] == text for one, text in zip(said, truth, strict=True)) / len(truth)
    assert figures["exact_match"] == exact
    searched = translator.predict(sources[0], beam=3)[0]
    assert len(searched["others"]) == 2
    alone = translator.predict(sources[0], beam=3, length_penalty=0.0)[0]
    assert alone["log_probability"] >= max(other for _, other in alone["others"])


# ---------------------------------------------------------------- resuming

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "lstm": ("lstm-lm-small", "book.txt", {"window": 20, "model": {**LSTM, "dropout": 0.2}}),
    "transformer": ("transformer-lm", "book.txt", {"model": {**TRANSFORMER, "dropout": 0.1}}),
    "classifier": ("lstm-classifier", "reviews.tsv", {"model": {"embedding_dim": 8, "hidden_size": 8, "dropout": 0.2}}),
    "translation": ("transformer-small", "territories", {"model": TRANSLATOR, "label_smoothing": 0.1}),
}


def begun(case: str, texts: Path, folder: Path, resume: bool = False) -> Any:
    model, data, more = CASES[case]
    where = str(texts / data) if "." in data else data
    asked = {
        "data": where, "epochs": 2, "batch_size": 16, "accumulate": 2, "optimizer": "adamw", "schedule": "cosine",
        "warmup": 0.1, "ema": 0.9, "clip": 1.0, "checkpoint_every": 3, **more,
    }  # fmt: skip
    return prepare(model, asked, name="run", directory=folder, resume=resume)


def leaves(value: Any, place: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in leaves(item, f"{place}/{key}").items()}
    if isinstance(value, list | tuple):
        return {k: v for key, item in enumerate(value) for k, v in leaves(item, f"{place}/{key}").items()}
    return {place: value}


@pytest.mark.parametrize("case", CASES)
def test_killed_in_mid_epoch_and_resumed_it_ends_with_the_same_bits(case: str, texts: Path, tmp_path: Path) -> None:
    """The folder as it lies there in the middle of an epoch is what a kill leaves behind: it is resumed elsewhere."""
    whole = begun(case, texts, tmp_path / "whole")
    per_epoch = whole.stream.per_epoch // 2  # steps: two batches each
    stops = {4, per_epoch + per_epoch // 2 + 1}
    assert all(stop % per_epoch for stop in stops), "in the middle of an epoch"
    for event in whole.events():
        if isinstance(event, StepDone) and event.step in stops:
            shutil.copytree(tmp_path / "whole/run", tmp_path / f"killed-{event.step}/run")
    end = whole.directory.checkpoints.latest()
    assert end is not None
    state = leaves(load_checkpoint(end))
    carries = any("carried" in place for place in state)
    assert carries == (case == "lstm"), "what is carried is in the checkpoint"
    for stop in stops:
        folder = tmp_path / f"killed-{stop}"
        latest = Checkpoints(folder / "run/checkpoints").latest()
        assert latest is not None
        assert int(latest.stem.split("-")[1]) % per_epoch, "the checkpoint is of the middle of an epoch"
        resumed = begun(case, texts, folder, resume=True)
        for _ in resumed.events():
            pass
        last = resumed.directory.checkpoints.latest()
        other = leaves(load_checkpoint(last))
        assert state.keys() == other.keys()
        for place, value in state.items():
            same = torch.equal(value, other[place]) if isinstance(value, torch.Tensor) else value == other[place]
            assert same, place
        for file in ("metrics.csv", "model.safetensors", *(["samples.jsonl"] if case != "classifier" else [])):
            assert (folder / "run" / file).read_bytes() == (tmp_path / "whole/run" / file).read_bytes(), file


# ---------------------------------------------------------------- what is wrong


def test_what_a_run_on_text_cannot_do_is_told_in_one_line(
    writer: Run, reader: Run, critic: Run, translator: Run
) -> None:
    wrong: list[tuple[Any, str]] = [
        (lambda: writer.predict("a"), "has no predict: its task is language-modelling, it has evaluate, generate"),
        (lambda: critic.generate("a"), "has no generate: its task is classification, it has evaluate, predict"),
        (lambda: critic.predict("a", beam=2), "no option 'beam'.*its task is classification"),
        (lambda: critic.evaluate(beam=2), "no option 'beam'.*its task is classification"),
        (lambda: writer.evaluate(crops=10), "no option 'crops'.*its task is language-modelling"),
        (lambda: critic.evaluate(crops=10), "ten crops are cut from images, but the run was trained on text"),
        (lambda: writer.outcome(), "generates text"),
        (lambda: writer.embed("a"), "has no method 'embed'"),
        (lambda: writer.generate(), "nothing to continue"),
        (lambda: writer.generate(""), "the text is empty"),
        (lambda: writer.generate("The 東"), "does not know the character '東'"),
        (lambda: writer.generate("a", max_new_tokens=0), "max_new_tokens must be at least 1"),
        (lambda: writer.generate("a", temperature=0.0), "temperature must be above 0"),
        (lambda: writer.generate("a", temprature=1.0), "did you mean 'temperature'"),  # type: ignore[call-arg]
        (lambda: writer.generate("a", stop=[""]), "stop must not contain"),
        (lambda: reader.generate("The cat sat on the mat and saw"), "context of 24 leaves no room"),
        (lambda: translator.predict("Spanien", beam=0), "beam must be at least 1"),
        (lambda: translator.predict("Spanien", beam=2, length_penalty=-1.0), "length_penalty must be at least 0"),
        (lambda: translator.predict(), "nothing to predict"),
        (lambda: critic.predict(), "nothing to predict"),
        (lambda: critic.predict(3), "expected a str"),
        (lambda: critic.predict(Path("nowhere.txt")), "no such file: nowhere.txt"),
    ]
    for call, message in wrong:
        with pytest.raises(UsageError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "data", "asked", "message"),
    [
        ("lstm-lm-small", "book.txt", {"model_options": {"vocab_size": 7}}, "vocab_size=7 does not fit the data"),
        ("transformer-lm", "book.txt", {"model_options": {"context": 16}, "window": 17}, "window 17 is longer than"),
        ("lstm-classifier", "reviews.tsv", {"window": 9}, "window is for running text"),
        ("lstm-lm-small", "book.txt", {"flip": True}, "flip is for images, but the data are text"),
        ("lstm-lm-small", "book.txt", {"class_weights": True}, "the task is language-modelling, which has no classes"),
        ("lstm-lm-small", "book.txt", {"batch_size": 4000}, "too few for 4000 rows"),
        ("lstm-lm-small", "book.txt", {"window": 0}, "window must be at least 1"),
        ("lstm-classifier", "book.txt", {}, "can be trained for .*, but '.*' is language-modelling data"),
        ("lstm-lm-small", "reviews.tsv", {}, "trained for language-modelling, but '.*' is not running text"),
        ("mlp", "book.txt", {}, "takes .* data, but '.*' is text data"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_before_a_run_is_made(
    model: str, data: str, asked: dict[str, Any], message: str, texts: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        lamina.train(model, data=str(texts / data), directory=tmp_path, report=False, **{"epochs": 1, **asked})
    assert not list(tmp_path.iterdir())


def test_a_translator_is_not_begun_without_what_judges_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.bleu", None)  # as if it were not installed
    with pytest.raises(UsageError, match=r"^translations are scored with sacrebleu.* pip install lamina\[text\]$"):
        lamina.train("transformer-small", data="territories", model_options=TRANSLATOR, directory=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_run_with_another_tokenizer_or_none_is_told(writer: Run, reader: Run, critic: Run, tmp_path: Path) -> None:
    shutil.copytree(writer.path, tmp_path / "run")
    kept = tmp_path / "run/tokenizer.json"
    for content, message in (
        ((critic.path / "tokenizer.json").read_bytes(), "not the tokenizer that the model was trained with"),
        (b'{"version": "1.0"}', "tokenizer.json is damaged"),
        (b"{", "cannot be read"),
    ):
        kept.write_bytes(content)
        with pytest.raises(RunError, match=message):
            lamina.open_run(tmp_path / "run").generate("The ")
    kept.unlink()
    with pytest.raises(RunError, match=r"incomplete: it has no tokenizer\.json"):
        lamina.open_run(tmp_path / "run").generate("The ")


def test_other_data_are_judged_whatever_their_size(writer: Run, texts: Path) -> None:
    (texts / "other.txt").write_text("The cat sat on the mat and saw the sun.\n" * 3 + "Ω")
    figures = writer.evaluate(data=str(texts / "other.txt"))
    assert figures["perplexity"] < 3
    with pytest.raises(UsageError, match="takes text data, but 'iris' is table data"):
        writer.evaluate(data="iris")
