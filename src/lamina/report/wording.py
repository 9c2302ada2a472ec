"""How values are written for a reader: sensible digits, a dash for what is not there."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence, Set

DASH = "–"

# Metrics that are shares of one, shown in per cent, and how their names are written.
NAMES = {
    "accuracy": "accuracy",
    "f1": "F1 (macro)",
    "precision": "precision (macro)",
    "recall": "recall (macro)",
    "mean_average_precision": "mean average precision",
    "exact_match": "exact match",
    "rmse": "RMSE",
    "mae": "MAE",
    "mse": "MSE",
    "r2": "R²",
    "lr": "learning rate",
    "bleu": "BLEU",
    "chrf": "chrF",
}
SHARES = {"accuracy", "f1", "precision", "recall", "mean_average_precision", "exact_match"}


def metric_name(name: str) -> str:
    """``"top5"`` -> "top-5 accuracy", ``"mean_average_precision"`` -> "mean average precision"."""
    if top := re.fullmatch(r"top_?(\d+)", name):
        return f"top-{top[1]} accuracy"
    quantity, bracket, protocol = name.partition("[")  # of a metric network, whose name stays as it is
    return NAMES.get(quantity, quantity.replace("_", " ")) + bracket + protocol


def is_share(name: str) -> bool:
    """Whether a metric is a share of one, which is read best in per cent."""
    return name in SHARES or re.fullmatch(r"top_?\d+", name) is not None


def metric(name: str, value: float | None, samples: int) -> str:
    """A metric's value; per cent gets two decimals only where there are enough samples for them."""
    if name == "r2":
        return DASH if value is None or not math.isfinite(value) else f"{value:.3f}".replace("-", "−")
    return share(value, samples) if is_share(name) else number(value)


def share(value: float | None, samples: int = 0) -> str:
    """A share of one in per cent: "98.3 %". Only all is "100.0 %", and only none "0.0 %"."""
    if value is None or not math.isfinite(value):
        return DASH
    digits = 2 if samples >= 5000 else 1
    while digits < 6 and 1e-9 < value < 1 - 1e-9 and round(100 * value, digits) in (0, 100):
        digits += 1
    return f"{100 * value:.{digits}f}\u00a0%"  # a space that does not break


def number(value: float | None, digits: int = 4) -> str:
    """As ``decimal``, set for a page: "61 706", "2016", "0.01230", "1.2e−7"."""
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return decimal(value, digits).replace("-", "−").replace(",", "\u202f")  # a narrow space that does not break


def decimal(value: float, digits: int = 4) -> str:
    """So many significant digits, and all those before the point; thousands apart from five digits on, so that years
    stay whole; an exponent only for the smallest and the largest: "61,706", "2016", "747123", "0.01230", "1.2e-7"."""
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return _grouped(str(int(value)))
    if 1e-4 <= abs(value) < 1e15:
        return _grouped(f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _grouped(text: str) -> str:
    """Thousands apart, from five digits on."""
    whole, point, rest = text.partition(".")
    return (f"{int(whole):,}" if len(whole.lstrip("-")) > 4 else whole) + point + rest


def signed(value: float, digits: int = 4) -> str:
    """A difference with its sign: "+5.2"."""
    return ("+" if value > 0 else "") + number(value, digits)


def tick(value: float) -> str:
    """A number with as few digits as it needs: "0.25", "1e−5"."""
    short = f"{value:.6g}" if 1e-4 <= abs(value) < 1e6 else f"{value:.4g}"
    return re.sub(r"e([+-])0*(\d+)", lambda found: f"e{found[1].strip('+')}{found[2]}", short).replace("-", "−")


def rounded(value: float, digits: int = 3) -> str:
    """At most so many significant digits, no zeros at the end: "0.001", "97.6"."""
    return tick(float(f"{value:.{digits}g}"))


def plain(value: object) -> str:
    """Any value of a recipe, a card or a table's row, as text."""
    if value is None or value == "":
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return number(value)
    if isinstance(value, float):
        return number(value) if not math.isfinite(value) or value.is_integer() else tick(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items()) or DASH
    if isinstance(value, Sequence | Set) and not isinstance(value, str | bytes):
        return ", ".join(plain(item) for item in value) or DASH
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:  # numpy's and torch's numbers
        return plain(value.item())
    return str(value)


def cell(value: object) -> str:
    """A value of the data as it is written there, digits together: 98052 and 20161231 are no amounts."""
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.10g}"
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else plain(value)


def label(name: object, most: int = 24) -> str:
    """A name fit for a figure: one line, no control characters (XML has none), not longer than ``most``."""
    text = " ".join(clean(str(name)).split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def clean(text: str) -> str:
    """Text without what UTF-8 or XML cannot hold: lone surrogates (of undecodable file names) and control signs."""
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\ufffd", text)
