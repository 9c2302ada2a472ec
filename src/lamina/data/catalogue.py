"""The embedded data sets and their origins. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from lamina.errors import UsageError, unknown

EMBEDDED = {
    "digits": "1,797 handwritten digits, 8 x 8 grey, 10 classes",
    "iris": "150 flowers, 4 measurements, 3 classes",
    "wine": "178 wines, 13 measurements, 3 classes",
    "breast-cancer": "569 tumours, 30 measurements, 2 classes",
    "diabetes": "442 patients, 10 measurements, disease progression a year on (regression)",
    "python-docs": "Python's help topics, 460,000 characters of English (language modelling)",
    "dates": "20,000 dates written out in 16 languages, to ISO 8601 (translation)",
    "territories": "256 names of countries, from one language to another (translation)",
}
LICENCES = {
    "digits": "UCI Machine Learning Repository, CC BY 4.0",
    "iris": "UCI Machine Learning Repository, CC BY 4.0",
    "wine": "UCI Machine Learning Repository, CC BY 4.0",
    "breast-cancer": "UCI Machine Learning Repository, CC BY 4.0",
    "diabetes": "Efron, Hastie, Johnstone, Tibshirani, Least Angle Regression, 2004",
    "python-docs": "Python documentation, PSF Licence 2",
    "dates": "Unicode CLDR through Babel, Unicode Licence v3",
    "territories": "Unicode CLDR through Babel, Unicode Licence v3",
}


def list_data() -> list[str]:
    """The names of the embedded data sets: ``lamina.list_data()``."""
    return list(EMBEDDED)


def embedded_name(data: str) -> str | None:
    """The embedded set called ``data``, ignoring case, ``-`` and ``_``; None if there is none."""
    folded = data.casefold().replace("_", "-")
    return {name.replace("-", ""): name for name in EMBEDDED}.get(folded.replace("-", ""))


def is_path(data: str) -> bool:
    """Whether ``data`` names a file or folder, and neither an embedded set nor ``hf:...``."""
    return not data.startswith("hf:") and embedded_name(data) is None


def expect_known(data: str) -> None:
    """Raise UsageError unless ``data`` is an embedded set, ``hf:...``, or an existing file or folder."""
    if not is_path(data) or (data and Path(data).expanduser().exists()):
        return
    if "/" in data or "\\" in data or Path(data).suffix:
        raise UsageError(f"no such file or folder: {data}")
    raise unknown("data", data, EMBEDDED)
