"""Texts that come with dependencies: the same each time, and what they are said to be."""

from __future__ import annotations

import pydoc_data.topics
from collections import defaultdict
from datetime import date
from typing import Any

from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.text.embedded import SPACES, date_forms
from lamina.data.text.samples import Pairs, Text
from lamina.errors import UsageError

WHOLE: dict[str, Any] = {"validation": 0, "test": 0}


def opened(name: str, **options: Any) -> Any:
    return open_source(name, options=DataOptions(**{**WHOLE, **options})).splits["train"]


def test_python_docs() -> None:
    split = opened("python-docs")
    assert isinstance(split, Text)
    topics = pydoc_data.topics.topics
    assert split.text.startswith(topics["assert"].strip()[:40])
    assert len(split.text) > 0.95 * sum(map(len, topics.values()))
    assert "\n\n" + topics["yield"].strip() in split.text
    spec = open_source("Python_Docs").spec
    assert (spec.task, spec.name, spec.tokenizer) == ("language-modelling", "python-docs", "")
    assert spec.licence


def test_dates() -> None:
    split = opened("dates")
    assert isinstance(split, Pairs)
    assert len(split) == len(set(split.sources)) == 20_000
    days = [date.fromisoformat(text) for text in split.texts]
    assert (min(days).year, max(days).year) == (1900, 2099)
    for day, source in zip(days, split.sources, strict=True):
        assert str(day.year) in source
        assert str(day.day) in source.replace(str(day.year), "")
        assert any(char.isalpha() for char in source)  # never a month as a number
    assert opened("dates") == split
    spec = open_source("dates").spec
    assert (spec.task, spec.languages, spec.tokenizer) == ("translation", ("written", "iso"), "character")
    assert dict(spec.sizes) == {"train": 14_000, "validation": 2_000, "test": 4_000}


def test_a_written_date_is_one_date() -> None:
    """Over all languages and styles each way to write a month is one month: there are languages that share a word for
    October and November."""
    months = defaultdict(set)
    for pattern, locale in date_forms():
        if "MMM" in pattern.pattern:
            for month in range(1, 13):
                months[pattern.apply(date(2015, month, 3), locale).translate(SPACES)].add(month)
    assert len(months) > 300
    assert "tisdag 3 mars 2015" in months
    assert all(len(found) == 1 for found in months.values())


def test_territories(refused: Any) -> None:
    split = opened("territories")
    names = dict(zip(split.sources, split.texts, strict=True))
    assert names["Deutschland"] == "Germany"
    assert names["Schweiz"] == "Switzerland"
    assert "Welt" not in names
    assert "Europäische Union" not in names
    assert 240 < len(split) < 270
    assert open_source("territories").spec.languages == ("de", "en")
    split = opened("territories", languages=("fr", "sv"))
    assert dict(zip(split.sources, split.texts, strict=True))["Allemagne"] == "Tyskland"
    with refused(UsageError, "unknown language 'xx'"):
        opened("territories", languages=("de", "xx"))


def test_options_that_they_cannot_follow(refused: Any) -> None:
    with refused(UsageError, "dates is pairs of texts: its task is translation, not classification"):
        opened("dates", task="classification")
    with refused(UsageError, "python-docs has no columns", "'body'"):
        opened("python-docs", text="body")
    with refused(UsageError, "territories has no columns", "'name'"):
        opened("territories", target="name")
    with refused(UsageError, "dates", "--languages"):
        opened("dates", languages=("de", "en"))
