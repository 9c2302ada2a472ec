"""Is a model better than the best constant prediction: one class, one value, one set of labels for every sample?

The facts that evaluation reports of a split whose targets differ, beside a task's metrics:

- ``baseline_<metric>``: the metric of the best constant prediction,
- ``constant_predictions``: 1 where the model predicts the same for every sample, else 0,
- ``beats_baseline``: 1 where it is better than the constant by more than chance explains, else 0: by the standard error
  of the difference over the split's samples, of classes by two unless the cross-entropy is better, too. A smaller
  difference may be chance; a perfect model always beats it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ENTRY = "baseline"
"""the name of these metrics in a collection"""
PREFIX, CONSTANT, BEATS = "baseline_", "constant_predictions", "beats_baseline"


def quality(names: Iterable[str]) -> list[str]:
    """The names that are not of these facts: measures of quality, to plot and to choose an epoch by."""
    return [name for name in names if name not in (CONSTANT, BEATS) and not name.startswith(PREFIX)]


def shortfall(metrics: Mapping[str, float], constant: str, lower_is_better: tuple[str, ...]) -> str | None:
    """What to tell of a model that does not beat the baseline, as the end of a sentence; else None.

    ``constant`` is the best constant prediction in words: "the most frequent class".
    """
    if metrics.get(BEATS, 1.0) != 0.0:
        return None
    name = next((name.removeprefix(PREFIX) for name in metrics if name.startswith(PREFIX)), None)
    if name is None or name not in metrics:
        return None
    value, baseline = f"{metrics[name]:.4g}", f"{metrics[PREFIX + name]:.4g}"
    if metrics.get(CONSTANT) == 1.0:
        return f"predicts the same for every sample: {name} {value}; always predicting {constant} has {baseline}"
    against = f"always predicting {constant}: {name} {value} against {baseline}"
    better = metrics[name] < metrics[PREFIX + name]
    if better if name in lower_is_better else metrics[name] > metrics[PREFIX + name]:
        return f"is hardly better than {against}, within the error of sampling"
    return f"is no better than {against}"
