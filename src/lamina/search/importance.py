"""How much of a search's variance each decision explains."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import optuna

from lamina.search.samplers import study_of
from lamina.search.space import Space
from lamina.search.strategies import Finished

LEAST = 4
"""complete trials below which nothing is said"""


def importances(space: Space, finished: Sequence[Finished], objectives: int) -> dict[str, float]:
    """Shares of the first objective's variance by decision, greatest first (fANOVA, Hutter et al., ICML 2014)."""
    done = [trial for trial in finished if trial.scores is not None and not trial.pruned]
    first = {trial.scores[0] for trial in done if trial.scores is not None}
    if len(done) < LEAST or len(first) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = study_of(space, done, objectives)
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        target = None if objectives == 1 else (lambda trial: trial.values[0])
        try:
            return dict(optuna.importance.get_param_importances(study, evaluator=evaluator, target=target))
        except (ValueError, RuntimeError):  # no decision that every trial makes, or none that varies
            return {}
