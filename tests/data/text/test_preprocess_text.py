"""What is done to texts: tokens of every kind of source, prompts and sentences, what a run keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from lamina.data.modality import fit_preprocess, holds, load_preprocess
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.protocols import Needs
from lamina.data.source import Source
from lamina.data.streams import InMemory
from lamina.data.targets.code import align
from lamina.data.targets.labels import Labels
from lamina.data.text.preprocess import TextPreprocess
from lamina.data.text.samples import Pairs, Text, Texts
from lamina.data.text.sources import pairs_source, running_text, texts_source
from lamina.data.text.streams import Ragged
from lamina.errors import DataError, RunError, UsageError

WHOLE = DataOptions(validation=0, test=0)
RUNNING = "the dog runs\nthe cat sat on the mat\n" * 20
SENTENCES = ["a good film", "bad", "good, not bad", "a bad end"]


def judged(task: Any = "classification") -> Source:
    values = torch.tensor([[1.5], [-1.0], [0.5], [3.0]]) if task == "regression" else torch.tensor([1, 0, 1, 0])
    labels = Labels(task, () if task == "regression" else ("no", "yes"), ("label",), values)
    return texts_source("films", SENTENCES, {"train": 4}, labels, WHOLE)


def running(text: str = RUNNING) -> Source:
    return running_text("book", {"train": text}, WHOLE)


def translated() -> Source:
    pairs = Pairs(("ein Hund", "eine Katze läuft", "ja"), ("a dog", "a cat runs", "yes"))
    return pairs_source("talk", {"train": pairs}, ("de", "en"), WHOLE)


def fitted(source: Source, context: int | None = None, **options: Any) -> TextPreprocess:
    preprocess = fit_preprocess(source, Needs(options=DataOptions(**options), context=context))
    assert isinstance(preprocess, TextPreprocess)
    return preprocess


def encoded(preprocess: TextPreprocess, source: Source) -> Ragged:
    samples = preprocess.encode(source.splits["train"])
    assert isinstance(samples, Ragged)
    return samples


def test_running_text() -> None:
    for kind in ("character", "word", "bpe"):
        preprocess = fitted(running(), tokenizer=kind)
        samples = preprocess.encode(Text(RUNNING))
        assert isinstance(samples, InMemory)
        tokens = samples.tensors["tokens"]
        assert tokens.dtype == torch.int32
        assert preprocess.decode(tokens) == RUNNING
        assert preprocess.model_options() == {"vocab_size": preprocess.code.size}
    assert fitted(running()).code.kind == "character"
    assert len(fitted(running(), tokenizer="word").encode(Text(RUNNING))) == 20 * (3 + 1 + 6 + 1)


def test_texts_with_a_target() -> None:
    preprocess = fitted(judged())
    assert preprocess.code.kind == "word"
    assert preprocess.model_options() == {"vocab_size": preprocess.code.size, "num_classes": 2}
    samples = encoded(preprocess, judged())
    assert samples.tensors["target"].tolist() == [1, 0, 1, 0]
    assert samples.lengths.tolist() == [3, 1, 4, 3]
    batch = samples.take(torch.arange(4))
    assert [preprocess.decode(row) for row in batch["tokens"]] == SENTENCES
    assert fitted(judged("regression")).model_options()["num_classes"] == 1
    target = encoded(fitted(judged("regression")), judged("regression")).tensors["target"]
    assert target.shape == (4, 1)
    assert torch.allclose(target.mean(), torch.tensor(0.0), atol=1e-6)
    assert torch.allclose(fitted(judged("regression")).target.decode(target)[:, 0], torch.tensor([1.5, -1.0, 0.5, 3.0]))


def test_pairs_share_one_vocabulary() -> None:
    preprocess = fitted(translated(), tokenizer="word")
    size = preprocess.code.size
    assert preprocess.model_options() == {"vocab_size": size, "source_vocab_size": size}
    batch = encoded(preprocess, translated()).take(torch.tensor([1]))
    code = preprocess.code
    assert batch["source"].tolist() == [[*code.encode("eine Katze läuft"), code.end]]
    assert batch["tokens"].tolist() == [[code.begin, *code.encode("a cat runs")]]
    assert batch["target"].tolist() == [[*code.encode("a cat runs"), code.end]]
    assert preprocess.decode(batch["target"][0]) == "a cat runs"
    assert fitted(translated()).code.kind == "bpe"
    assert preprocess.target.names == ("de", "en")


def test_the_source_suggests_a_tokenizer_and_the_user_decides() -> None:
    dates = open_source("territories")
    assert fitted(dates).code.kind == "character"
    assert fitted(dates, tokenizer="word").code.kind == "word"
    assert fitted(running(), lowercase=True, tokenizer="word", vocabulary=5).code.size == 5


def test_long_texts_are_cut_with_a_note() -> None:
    preprocess = fitted(judged(), max_tokens=3)
    assert preprocess.notes == ("1 texts of more than 3 tokens: cut",)
    assert encoded(preprocess, judged()).lengths.tolist() == [3, 1, 3, 3]
    assert preprocess.encode_input(SENTENCES[2])["lengths"].tolist() == [3]
    assert fitted(judged(), context=2).max_tokens == 2
    assert fitted(judged(), context=2).notes == ("3 texts of more than 2 tokens: cut",)
    assert fitted(judged()).notes == ()


def test_long_pairs_stay_whole_with_a_note() -> None:
    preprocess = fitted(translated(), tokenizer="word", max_tokens=4)
    assert preprocess.notes == ("1 pairs of more than 4 tokens: left out of training",)
    assert encoded(preprocess, translated()).lengths.tolist() == [[3, 4], [4, 5], [2, 3]]


def test_a_line_of_a_million_characters() -> None:
    long = "so it goes " * 90_910
    values = Labels("classification", ("no", "yes"), ("label",), torch.tensor([0, 1]))
    source = texts_source("x", [long, "short"], {"train": 2}, values, WHOLE)
    preprocess = fitted(source)
    assert preprocess.notes == ("1 texts of more than 512 tokens: cut",)
    assert encoded(preprocess, source).lengths.tolist() == [512, 1]
    assert len(fitted(running(long)).encode(Text(long))) == len(long)


def test_input_to_go_on_from_to_judge_and_to_translate(refused: Any) -> None:
    preprocess = fitted(running())
    batch = preprocess.encode_input(["the dog\n", " c"])
    assert batch["lengths"].tolist() == [8, 2]
    assert batch["tokens"].dtype == torch.int64
    assert batch["tokens"][1].tolist() == [*preprocess.code.encode(" c"), *[0] * 6]
    preprocess = fitted(translated(), tokenizer="word")
    tokens = preprocess.encode_input("ja Zebra")["tokens"][0].tolist()
    assert tokens == [*preprocess.code.encode("ja"), preprocess.code.unknown, preprocess.code.end]
    for wrong in (3, [], ["a", 3], {"text": "a"}):
        with refused(UsageError, "expected a str"):
            preprocess.encode_input(wrong)
    for empty in ("", " \n", ["ja", ""]):
        with refused(UsageError, "the text is empty"):
            preprocess.encode_input(empty)


def test_unknown_characters_are_named_in_a_prompt_and_unknown_tokens_in_data(refused: Any) -> None:
    preprocess = fitted(running())
    with refused(UsageError, "does not know the character 'Q'"):
        preprocess.encode_input(["the", "the Queen"])
    samples = preprocess.encode(Text("the Queen"))
    assert isinstance(samples, InMemory)
    assert samples.tensors["tokens"][4] == preprocess.code.unknown
    fitted(running(), tokenizer="bpe").encode_input("the Queen")


def test_what_cannot_be_encoded(refused: Any) -> None:
    with refused(DataError, "at least 2 tokens, got 1"):
        fitted(running()).encode(Text("a"))
    with refused(DataError, "text 2 of a split"):
        fitted(judged()).encode(Texts(("good", "\u00a0"), torch.tensor([0, 1])))


def test_a_vocabulary_without_room(refused: Any) -> None:
    with refused(UsageError, "'bpe'", "at least 256", "99"):
        fitted(running(), tokenizer="bpe", vocabulary=99)
    for option in ("vocabulary", "max_tokens"):
        with refused(UsageError, f"{option} must be at least 1"):
            DataOptions(**{option: 0})


@pytest.mark.parametrize("kind", ["character", "word", "bpe"])
@pytest.mark.parametrize("make", [running, judged, translated])
def test_what_a_run_keeps(make: Any, kind: str) -> None:
    preprocess = fitted(make(), tokenizer=kind, max_tokens=3)
    files = json.loads(json.dumps(preprocess.files()))
    assert set(files) == {"preprocess.json", "tokenizer.json"}
    assert load_preprocess(files) == preprocess


def test_a_tokenizer_that_is_not_the_runs(refused: Any) -> None:
    files, others = fitted(running()).files(), fitted(running(), tokenizer="word").files()
    with refused(RunError, "not the tokenizer that the model was trained with"):
        load_preprocess({**files, "tokenizer.json": others["tokenizer.json"]})
    with refused(RunError, "tokenizer.json", "damaged"):
        load_preprocess({**files, "tokenizer.json": {**files["tokenizer.json"], "model": {"type": "WordLevel"}}})
    with refused(RunError, "needs its tokenizer.json"):
        load_preprocess({"preprocess.json": files["preprocess.json"]})
    with refused(RunError, "damaged"):
        load_preprocess({**files, "preprocess.json": {"format": 1, "kind": "text"}})


def test_texts_are_held(refused: Any) -> None:
    for source in (running(), judged(), translated()):
        assert holds(fitted(source), source)
    assert fitted(running()).bytes_of(Text(RUNNING)) == 4 * len(RUNNING)
    with refused(UsageError, "book is text", "takes images"):
        fit_preprocess(running(), Needs(channels=3))


def test_another_source_must_call_for_the_same(refused: Any) -> None:
    assert align(running("x\n" * 30), fitted(running()).target).spec.name == "book"
    assert align(translated(), fitted(translated()).target).spec.languages == ("de", "en")
    other = pairs_source("back", {"train": Pairs(("a",), ("b",))}, ("en", "de"), WHOLE)
    with refused(DataError, "back translates from en to de", "trained from de to en"):
        align(other, fitted(translated()).target)
    with refused(DataError, "book is language-modelling data", "trained for classification"):
        align(running(), fitted(judged()).target)
    values = Labels("classification", ("yes", "no"), ("label",), torch.tensor([0, 1]))
    turned = texts_source("x", ["good", "bad"], {"train": 2}, values, WHOLE)
    aligned = align(turned, fitted(judged()).target).splits["train"]
    assert isinstance(aligned, Texts)
    assert aligned.targets.tolist() == [1, 0]
