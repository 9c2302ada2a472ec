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
        "forecasting/series": "lamina.runs.series.view:ForecastingView",
        "language-modelling/text": "lamina.runs.text.views:LanguageModellingView",
        "architecture-search/image": "lamina.runs.architecture_search.views:ArchitectureSearchView",
        "style-transfer/image": "lamina.runs.image.style:StyleView",
        "arbitrary-style-transfer/image": "lamina.runs.image.style:ArbitraryStyleView",
        "translation/text": "lamina.runs.text.views:TranslationView",
        "style-adversarial/image": "lamina.runs.adversarial.styles:StyleView",
        "image-translation/image": "lamina.runs.image.translation:ImageTranslationView",
        "adversarial/image": "lamina.runs.adversarial.views:AdversarialImageView",
        "adversarial/table": "lamina.runs.adversarial.views:AdversarialTableView",
        f"adversarial/{ANY}": "lamina.runs.adversarial.views:AdversarialView",
        "anomaly/series": "lamina.runs.series.anomaly:AnomalyView",
        "autoencoding/image": "lamina.runs.autoencoding.views:AutoencoderImageView",
        "autoencoding/table": "lamina.runs.autoencoding.views:AutoencoderTableView",
        f"autoencoding/{ANY}": "lamina.runs.autoencoding.views:AutoencoderView",
        "variational/image": "lamina.runs.autoencoding.views:AutoencoderImageView",
        "variational/table": "lamina.runs.autoencoding.views:AutoencoderTableView",
        f"variational/{ANY}": "lamina.runs.autoencoding.views:AutoencoderView",
    },
    View,
)
"""rows by "task/modality"; "*" stands for any"""


def view_of(task: str, modality: str) -> type[View]:
    """The row for a task on a modality, else the modality's, else the task's, else the base class.

    One whose package fails is skipped, and is in ``VIEWS.faults``.
    """
    names = (f"{task}/{modality}", f"{ANY}/{modality}", f"{task}/{ANY}")
    return next((view for name in names if (view := VIEWS.find(name)) is not None), View)
