"""Packages as pip would install them: entry points on the path, and everything forgotten again."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from lamina import registry
from lamina.data.modality import MODALITIES
from lamina.runs import config
from lamina.runs.views.table import VIEWS
from lamina.tasks.table import TASKS


def write_package(
    site: Path, package: str, entry_points: Mapping[str, Mapping[str, str]], files: Mapping[str, str] | None = None
) -> None:
    """A distribution in the folder ``site``: its modules by path, and its entry points by group and name."""
    for name, text in (files or {}).items():
        path = site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    facts = site / f"{package}-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    groups = [
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in named.items()) for group, named in entry_points.items()
    ]
    (facts / "entry_points.txt").write_text("\n".join(groups))


def forget(site: Path | None = None) -> None:
    """Look for packages anew, and import those of ``site`` anew."""
    for table in (MODALITIES, TASKS, VIEWS):
        table.forget()
    for cache in (registry._extra, registry._cards, registry._names, config._recipes):
        cache.cache_clear()
    for name, module in list(sys.modules.items()):
        if site is not None and str(getattr(module, "__file__", "")).startswith(str(site)):
            del sys.modules[name]
