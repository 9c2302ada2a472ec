"""Embedded texts of Python and of Babel (the Unicode consortium's names and dates in many languages)."""

from __future__ import annotations

import importlib
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal

import torch

from lamina.data.catalogue import LICENCES
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.text.samples import Pairs
from lamina.data.text.sources import pairs_source, running_text
from lamina.errors import UsageError, unknown
from lamina.randomness import derive

if TYPE_CHECKING:
    from babel import Locale
    from babel.dates import DateTimePattern

LOCALES = ("cs", "da", "de", "el", "en", "es", "fi", "fr", "hu", "it", "nl", "pl", "pt", "ru", "sv", "tr")
STYLES: tuple[Literal["full", "long", "medium"], ...] = ("full", "long", "medium")
FIRST_DAY, DAYS = date(1900, 1, 1), 73_049
"""1900 to 2099"""
DATES = 20_000
NO_COUNTRIES = frozenset(("EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"))
"""two-letter codes of unions, outlying Oceania, tests, and the unknown region"""
SPACES = str.maketrans({"\N{NO-BREAK SPACE}": " ", "\N{NARROW NO-BREAK SPACE}": " "})


def open_python_docs(options: DataOptions) -> Source:
    """The topics of Python's ``help()``, sorted by name. Raises UsageError if Python has none."""
    _expect_no_columns("python-docs", options)
    try:
        topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    except ImportError as error:
        raise UsageError("python-docs: this installation of Python has no help topics (pydoc_data)") from error
    text = "\n\n".join(topics[name].strip() for name in sorted(topics)) + "\n"
    return running_text("python-docs", {"train": text}, options, licence=LICENCES["python-docs"])


def open_dates(options: DataOptions) -> Source:
    """Dates from 1900 to 2099 in 16 languages and three styles (full, long, medium), paired with ISO 8601.

    "tisdag 3 mars 2015" -> "2015-03-03". Styles with a numeric month are excluded, as the order of day and month
    depends on the language. The same 20,000 distinct dates for a given version of Babel.
    """
    _expect_no_columns("dates", options)
    if options.languages:
        raise UsageError("dates are translated from many languages to ISO 8601: omit --languages")
    forms = [form for form in date_forms() if "MMM" in form[0].pattern]
    generator = torch.Generator().manual_seed(derive("dates"))
    written: dict[str, str] = {}
    while len(written) < DATES:
        drawn = torch.randint(DAYS * len(forms), (DATES,), generator=generator).tolist()
        for number in drawn[: DATES - len(written)]:
            day = FIRST_DAY + timedelta(days=number // len(forms))
            pattern, locale = forms[number % len(forms)]
            written[pattern.apply(day, locale).translate(SPACES)] = day.isoformat()
    pairs = Pairs(tuple(written), tuple(written.values()))
    return _pairs("dates", pairs, ("written", "iso"), options)


def date_forms() -> list[tuple[DateTimePattern, Locale]]:
    """Date formats, some with a numeric month: a pattern and its locale."""
    from babel import Locale
    from babel.dates import get_date_format

    locales = [Locale.parse(name) for name in LOCALES]
    return [(get_date_format(style, locale), locale) for locale in locales for style in STYLES]


def open_territories(options: DataOptions) -> Source:
    """Names of countries and territories, from German to English or in the ``languages`` requested.

    Raises UsageError for a language that is unknown to Babel.
    """
    from babel import Locale
    from babel.localedata import exists, locale_identifiers

    _expect_no_columns("territories", options)
    first, second = options.languages or ("de", "en")
    for language in (first, second):
        if not exists(language):
            raise unknown("language", language, locale_identifiers())
    names, others = Locale.parse(first).territories, Locale.parse(second).territories
    codes = [code for code in sorted(names) if len(code) == 2 and code not in NO_COUNTRIES and code in others]
    sources = tuple(names[code].translate(SPACES) for code in codes)
    texts = tuple(others[code].translate(SPACES) for code in codes)
    return _pairs("territories", Pairs(sources, texts), (first, second), options)


def _pairs(name: str, pairs: Pairs, languages: tuple[str, str], options: DataOptions) -> Source:
    return pairs_source(name, {"train": pairs}, languages, options, licence=LICENCES[name], tokenizer="character")


def _expect_no_columns(name: str, options: DataOptions) -> None:
    if options.targets or options.text is not None:
        column = options.targets[0] if options.targets else options.text
        raise UsageError(f"{name} has no columns to choose from, got '{column}'")
