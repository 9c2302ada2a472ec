"""The table of views, by task and modality."""

from __future__ import annotations

from lamina.plugins import Plugins
from lamina.runs.views.base import View

ANY = "*"
VIEWS: Plugins[type[View]] = Plugins(
    "lamina.views",
    "view",
    {
        f"{ANY}/image": "lamina.runs.image.view:ImageView",
        f"{ANY}/table": "lamina.runs.table.view:TableView",
        f"{ANY}/text": "lamina.runs.text.views:TextView",
        "language-modelling/text": "lamina.runs.text.views:LanguageModellingView",
        "translation/text": "lamina.runs.text.views:TranslationView",
    },
)
"""rows by "task/modality"; "*" stands for any"""


def view_of(task: str, modality: str) -> type[View]:
    """The row for a task on a modality, else the modality's, else the task's, else the base class."""
    for name in (f"{task}/{modality}", f"{ANY}/{modality}", f"{task}/{ANY}"):
        if name in VIEWS:
            return VIEWS[name]
    return View
