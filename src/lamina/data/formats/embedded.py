"""The embedded data sets: of scikit-learn, and mixtures; those of text are in ``lamina.data.text.embedded``."""

from __future__ import annotations

import numpy as np
import torch

from lamina.data.catalogue import LICENCES
from lamina.data.image.arrays import image_arrays_source
from lamina.data.options import DataOptions
from lamina.data.series.embedded import FILES, open_embedded_series
from lamina.data.source import Source
from lamina.data.table.mixtures import MIXTURES, open_mixture
from lamina.data.table.source import table_source
from lamina.data.targets.labels import PREDICTED, Labels, class_labels
from lamina.data.text.embedded import open_dates, open_python_docs, open_territories
from lamina.errors import UsageError

TEXTS = {"python-docs": open_python_docs, "dates": open_dates, "territories": open_territories}


def open_embedded(name: str, options: DataOptions) -> Source:
    """An embedded data set as a source. Raises UsageError for an unsuitable task or target."""
    if name in TEXTS:
        return TEXTS[name](options)
    if name in FILES:
        return open_embedded_series(name, options)
    if name in MIXTURES:
        return open_mixture(name, options)

    from sklearn import datasets

    if name == "diabetes":
        if options.task in PREDICTED[:2] or options.targets:
            raise UsageError("diabetes has one target, the progression of the disease: its task is regression")
        bunch = datasets.load_diabetes(as_frame=True, scaled=False)
        values = torch.from_numpy(bunch.target.to_numpy(dtype=np.float32)[:, None])
        labels = Labels("regression", (), ("progression",), values)
    else:
        if name == "digits":
            bunch = datasets.load_digits()
            # stored as 0 to 16; rescaled to the usual range, so that pictures of digits can be predicted
            pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
            labels = class_labels(bunch.target, [str(k) for k in range(10)], name, options)
            return image_arrays_source(name, {"train": torch.from_numpy(pixels)}, labels, options, LICENCES[name])
        bunch = getattr(datasets, f"load_{name.replace('-', '_')}")(as_frame=True)
        labels = class_labels(bunch.target.to_numpy(), [str(one) for one in bunch.target_names], name, options)
    sizes = {"train": len(bunch.data)}
    return table_source(name, bunch.data, sizes, labels, lambda row: f"{name}, row {row + 1}", options, LICENCES[name])
