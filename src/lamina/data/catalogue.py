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
    "gaussian-ring": "40,000 points, 8 Gaussians on a circle of radius 2 (alias: ring), 8 modes",
    "gaussian-grid": "40,000 points, 5 x 5 Gaussians 2 apart (alias: grid), 25 modes",
    "python-docs": "Python's help topics, 460,000 characters of English (language modelling)",
    "dates": "20,000 dates written out in 16 languages, to ISO 8601 (translation)",
    "seattle-weather": "1,461 days of weather in Seattle, 2012-2015 (series)",
    "seattle-temps": "8,759 hours of temperature in Seattle, normals of 2010 (series)",
    "stocks": "monthly prices of 5 stocks, 2000-2010 (series)",
    "territories": "256 names of countries, from one language to another (translation)",
}
ALIASES = {
    "ring": "gaussian-ring",
    "8-gaussians": "gaussian-ring",
    "grid": "gaussian-grid",
    "25-gaussians": "gaussian-grid",
}
"""other names, where there is no file or folder so called"""
LICENCES = {
    "digits": "UCI Machine Learning Repository, CC BY 4.0",
    "iris": "UCI Machine Learning Repository, CC BY 4.0",
    "wine": "UCI Machine Learning Repository, CC BY 4.0",
    "breast-cancer": "UCI Machine Learning Repository, CC BY 4.0",
    "diabetes": "Efron, Hastie, Johnstone, Tibshirani, Least Angle Regression, 2004",
    "gaussian-ring": "drawn by Lamina",
    "gaussian-grid": "drawn by Lamina",
    "python-docs": "Python documentation, PSF Licence 2",
    "dates": "Unicode CLDR through Babel, Unicode Licence v3",
    "seattle-weather": "NOAA, public domain, through vega_datasets",
    "seattle-temps": "NOAA, public domain, through vega_datasets",
    "stocks": "vega-datasets, BSD-3-Clause",
    "territories": "Unicode CLDR through Babel, Unicode Licence v3",
}


MEMORY = "memory: "
"""begins what a configuration has in place of a name for data that were in memory"""


def list_data() -> list[str]:
    """The names of the embedded data sets: ``lamina.list_data()``."""
    return list(EMBEDDED)


def embedded_name(data: str) -> str | None:
    """The embedded set called ``data``, ignoring case, ``-`` and ``_``; None if there is none."""
    folded = data.casefold().replace("_", "").replace("-", "")
    if (name := {name.replace("-", ""): name for name in EMBEDDED}.get(folded)) is not None:
        return name
    alias = {alias.replace("-", ""): name for alias, name in ALIASES.items()}.get(folded)
    return None if alias is None or _exists(data) else alias


def is_path(data: str) -> bool:
    """Whether ``data`` names a file or folder, and neither an embedded set nor ``hf:...`` nor data in memory."""
    return not data.startswith(("hf:", MEMORY)) and embedded_name(data) is None


def is_known(data: str) -> bool:
    """Whether ``data`` is an embedded set, ``hf:...``, or an existing file or folder."""
    return data.startswith("hf:") or embedded_name(data) is not None or _exists(data)


def _exists(path: str) -> bool:
    try:
        return bool(path) and Path(path).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long for a name, a NUL, an unknown home
        return False


def expect_known(data: str) -> None:
    """Raise UsageError unless ``data`` is an embedded set, ``hf:...``, or an existing file or folder."""
    if is_known(data):
        return
    if data.startswith(MEMORY):
        raise UsageError(
            f"the data were in memory ({data.removeprefix(MEMORY)}): give them again, in Python with data=..., on the "
            "command line from a file with --data FILE"
        )
    if "/" in data or "\\" in data or Path(data).suffix:
        raise UsageError(f"no such file or folder: {data}")
    raise unknown("data", data, EMBEDDED)
