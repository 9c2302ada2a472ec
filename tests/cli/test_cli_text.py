"""The README's lines on text, at a reduced size: a language model, a judge of sentences, a translator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lamina.cli.main import main
from sample_texts import write_book, write_reviews

Lamina = Callable[..., tuple[int, str, str]]
QUICK = ("--quiet",)
LSTM = ("--model.embedding-dim", 24, "--model.hidden-size", 32, "--model.num-layers", 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with three trained runs, their own lines of training shortened."""
    folder = tmp_path_factory.mktemp("text")
    write_book(folder / "book.txt")
    write_reviews(folder / "reviews.tsv")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    for line in (
        ("train", "lstm-lm-small", "--data", "book.txt", "--steps", 100, "--batch-size", 8, "--lr", 0.01, *LSTM),
        ("train", "lstm-classifier", "--data", "reviews.tsv", "--epochs", 3),
        ("train", "transformer-small", "--data", "dates", "--limit", 300, "--test", 0.005, "--validation", 0.005,
         "--epochs", 2, "--model.width", 32, "--model.hidden", 64, "--model.layers", 1, "--model.heads", 2),
    ):  # fmt: skip
        assert main([*map(str, line), *QUICK]) == 0
    yield folder
    patch.undo()


@pytest.fixture
def here(folder: Path, lamina: Lamina, monkeypatch: pytest.MonkeyPatch) -> Lamina:
    monkeypatch.chdir(folder)
    return lamina


def test_a_language_model_of_a_text_file_streams_a_sample(here: Lamina) -> None:
    words = ("generate", "lstm-lm-small-book", "--prompt", "The ", "--max-new-tokens", 60, "--greedy")
    status, out, err = here(*words)
    assert status == 0, err
    assert out.startswith("The ")
    assert len(out) == len("The ") + 60 + 1
    status, again, _ = here(*words, "--json")
    assert json.loads(again)["text"] == out.removeprefix("The ").removesuffix("\n")
    status, out, err = here("generate", "runs/lstm-lm-small-book", "--stop", ".", "--max-new-tokens", 300, "--seed", 5)
    assert status == 0, err
    assert out.endswith(".\n")
    status, out, _ = here("evaluate", "lstm-lm-small-book")
    assert "characters" in out
    assert float(out.split("perplexity")[1].split()[0]) < 6


def test_a_classifier_judges_a_sentence(here: Lamina, folder: Path) -> None:
    good, bad = "A wonderful film, truly moving.", "The dull story, truly weak."
    status, out, err = here("predict", "lstm-classifier-reviews", good, bad)
    assert status == 0, err
    assert [line.rsplit(maxsplit=4)[1] for line in out.splitlines()[1:]] == ["positive", "negative"]
    (folder / "new.txt").write_text(f"{good}\n{bad}\n")
    status, out, _ = here("predict", "lstm-classifier-reviews", "new.txt", "--json")
    assert [(one["item"], one["class"]) for one in json.loads(out)] == [
        ("new.txt, row 1", "positive"), ("new.txt, row 2", "negative"),
    ]  # fmt: skip
    status, out, _ = here("embed", "lstm-classifier-reviews", "{braces} are text, too", "--json")
    assert len(json.loads(out)[0]["features"]) == 128
    status, out, _ = here("info", "lstm-classifier-reviews")
    assert status == 0
    assert "embedding" in out


def test_a_translator_translates_a_sentence(here: Lamina) -> None:
    status, out, err = here("predict", "transformer-small-dates", "3 mars 2015", "--beam", 4)
    assert (status, out.count("\n")) == (0, 1), err
    status, out, err = here("predict", "transformer-small-dates", "3 mars 2015", "4 mars 2015", "--json")
    assert [one["item"] for one in json.loads(out)] == ["3 mars 2015", "4 mars 2015"]
    assert {"translation", "log_probability"} < json.loads(out)[0].keys()
    status, out, err = here("evaluate", "transformer-small-dates", "--split", "validation", "--json")
    found = json.loads(out)
    assert {"exact_match", "bleu", "chrf"} < found["metrics"].keys()
    assert found["signatures"]["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a")


def test_what_is_wrong_is_one_line(here: Lamina) -> None:
    for words, says in (
        (
            ("generate", "lstm-classifier-reviews"),
            "has no generate: its task is classification, it has evaluate",
        ),
        (
            ("predict", "lstm-lm-small-book", "a"),
            "has no predict: its task is language-modelling, it has evaluate",
        ),
        (("predict", "lstm-classifier-reviews", "a", "--beam", 2), "--beam is for translation"),
        (("predict", "lstm-classifier-reviews"), "ITEM missing"),
        (("generate", "lstm-lm-small-book", "--prompt", "東"), "does not know the character '東'"),
        (("generate", "lstm-lm-small-book", "--temperature", 0), "temperature must be above 0"),
        (("generate", "lstm-lm-smal-book"), "did you mean 'lstm-lm-small-book'"),
        (("generate", "lstm-lm-small-book", "--promt", "a"), "did you mean '--prompt'"),
    ):
        status, out, err = here(*words)
        assert (status, out, err.count("\n")) == (2, "", 1), words
        assert says in err


def test_what_a_model_writes_cannot_move_the_cursor(here: Lamina, monkeypatch: pytest.MonkeyPatch) -> None:
    from lamina.runs.run import Run

    monkeypatch.setattr(Run, "stream", lambda *_, **__: iter(["a\x1b[2J", "\nb\tc"]))
    status, out, _ = here("generate", "lstm-lm-small-book")
    assert (status, out) == (0, "a\\x1b[2J\nb\tc\n")
