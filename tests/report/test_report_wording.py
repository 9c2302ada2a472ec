"""How numbers and names are written."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lamina.report.wording import cell, clean, label, metric, metric_name, number, plain, rounded, share, tick


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (61706, "61\u202f706"),
        (0.1234567, "0.1235"),
        (12.3456, "12.35"),
        (123456.7, "123\u202f457"),
        (-0.5, "−0.5000"),
        (1.23e-7, "1.23e−7"),
        (2.5e9 + 0.5, "2\u202f500\u202f000\u202f000"),
        (2016, "2016"),
        (2016.4, "2016"),
        (-747123.4, "−747\u202f123"),
        (3e17, "3e17"),
        (0.0, "0"),
        (math.nan, "–"),
        (None, "–"),
        (-math.inf, "−∞"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "samples", "text"),
    [
        (0.98333, 360, "98.3\u00a0%"),
        (0.98333, 10_000, "98.33\u00a0%"),
        (1.0, 10, "100.0\u00a0%"),
        (0.0, 10, "0.0\u00a0%"),
        (2999 / 3000, 3000, "99.97\u00a0%"),  # not all of them
        (1 / 3000, 3000, "0.03\u00a0%"),  # not none
        (math.nan, 10, "–"),
        (None, 10, "–"),
    ],
)
def test_share(value: float | None, samples: int, text: str) -> None:
    assert share(value, samples) == text


def test_metrics_by_name() -> None:
    assert metric("accuracy", 0.5, 10) == "50.0\u00a0%"
    assert metric("top5", 0.5, 10) == "50.0\u00a0%"
    assert metric("r2", -0.12345, 10) == "−0.123"
    assert metric("r2", math.nan, 10) == "–"
    assert metric("rmse", 52.6412, 10) == "52.64"
    assert metric("loss", None, 10) == "–"
    assert metric_name("top5") == "top-5 accuracy"
    assert metric_name("mean_average_precision") == "mean average precision"
    assert metric_name("word_error_rate") == "word error rate"


def test_ticks_and_settings() -> None:
    assert [tick(v) for v in (0.1 + 0.2, 1e-5, -2.5, 0.0, 3e8)] == ["0.3", "1e−5", "−2.5", "0", "3e8"]
    assert rounded(0.00123456) == "0.00123"
    values = [None, True, False, 3, 0.05, 1e-8, "x", (1, 2.5), {"train": 1000}, [], np.float32(0.5), math.nan]
    expected = ["–", "yes", "no", "3", "0.05", "1e−8", "x", "1, 2.5", "train 1000", "–", "0.5", "–"]
    assert [plain(value) for value in values] == expected


def test_names_fit_a_figure() -> None:
    assert label("a\nb\tc") == "a b c"
    assert label("x" * 50, 10) == "x" * 9 + "…"
    assert label("a\x00\x1b\udc80") == "a\ufffd\ufffd\ufffd"
    assert clean("naïve 猫 \U0001f408\n") == "naïve 猫 \U0001f408\n"
    clean("\udc80").encode()  # a file name that is no UTF-8 can be written


def test_a_value_of_the_data_keeps_its_digits_together() -> None:
    values = [98052, 20161231, 2016.0, 747123.25, 0.5, "x", None, True]
    assert [cell(value) for value in values] == ["98052", "20161231", "2016", "747123.25", "0.5", "x", "–", "yes"]
