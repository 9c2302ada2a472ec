"""Text: the entry of the table of modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from lamina.data.options import DataOptions
from lamina.data.protocols import Modality, Needs
from lamina.data.source import Source
from lamina.data.targets.code import TargetCode
from lamina.data.text.brought import read_tokenizer, tokenizer_at
from lamina.data.text.inputs import WholeText, from_word, inputs
from lamina.data.text.preprocess import TextPreprocess, fit_text
from lamina.data.text.requests import REQUESTS
from lamina.data.text.samples import Pairs, Text, Texts
from lamina.data.text.tokenizing import TextCode
from lamina.data.text_files import lines_of
from lamina.errors import RunError, UsageError


def fit(source: Source, needs: Needs) -> TextPreprocess:
    """Fit the preprocess of text; a resumed run keeps its own. Raises UsageError for a model with image inputs."""
    if needs.resumed is not None:
        return cast(TextPreprocess, needs.resumed)
    if needs.channels is not None or needs.size is not None:
        raise UsageError(f"{source.spec.name} is text, but the model takes images")
    return fit_text(source, needs)


def load(files: Mapping[str, Mapping[str, Any]]) -> TextPreprocess:
    """The preprocess from its files. Raises RunError for a missing, damaged or different tokenizer."""
    if "tokenizer.json" not in files:
        raise RunError("the preprocess of a text needs its tokenizer.json")
    return TextPreprocess.from_dict(files["preprocess.json"], files["tokenizer.json"])


def beside(folder: Path, task: str, context: int | None) -> TextPreprocess:
    """The preprocess of texts without targets with the tokenizer in a folder. Raises UsageError where there is none."""
    code = TextCode(read_tokenizer(tokenizer_at(folder)))
    limit = DataOptions().max_tokens if context is None else context
    return TextPreprocess(target=TargetCode(task=task), code=code, max_tokens=limit)


def describe(source: Source) -> dict[str, object]:
    """Languages, lengths of the texts, and an example."""
    return {"languages": list(source.spec.languages), "texts": _texts(source), "example": _example(source)}


def _texts(source: Source) -> dict[str, dict[str, int]]:
    """By split: lines and distinct characters of running text, or lengths of texts in characters."""
    found: dict[str, dict[str, int]] = {}
    for name, split in source.splits.items():
        match split:
            case Text():
                found[name] = {"lines": len(lines_of(split.text)), "different_characters": len(set(split.text))}
            case Pairs():
                first, second = source.spec.languages
                found[name] = _lengths(split.sources, f"_{first}") | _lengths(split.texts, f"_{second}")
            case Texts():
                found[name] = _lengths(split.texts)
    return found


def _lengths(texts: Sequence[str], end: str = "") -> dict[str, int]:
    lengths = sorted(map(len, texts))
    return {f"median_characters{end}": lengths[len(lengths) // 2], f"longest_characters{end}": lengths[-1]}


def _example(source: Source) -> list[str]:
    """The first line, text, or pair of train."""
    match source.splits["train"]:
        case Text() as split:
            return [next(line for line in lines_of(split.text) if line.strip())]
        case Pairs() as split:
            return [split.sources[0], split.texts[0]]
        case Texts() as split:
            return [split.texts[0]]
    return []


MODALITY = Modality(
    name="text",
    noun="text",
    unit="text",
    fit=cast(Any, fit),
    load=cast(Any, load),
    example='"a text"',
    describe=describe,
    beside=cast(Any, beside),
    files=("preprocess.json", "tokenizer.json"),
    inputs=inputs,
    rows=lambda item: not isinstance(item, str | WholeText),
    from_word=from_word,
    requests=REQUESTS,
)
