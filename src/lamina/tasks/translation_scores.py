"""Scores of translations: exact match, and BLEU and chrF by sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina.errors import UsageError


def score_translations(
    predictions: Sequence[str], truth: Sequence[str], *, lowercase: bool = False
) -> dict[str, float]:
    """Translations against one reference each: "exact_match" (a share), "bleu" and "chrf" (0 to 100).

    BLEU: Papineni et al., ACL 2002; chrF: Popovic, WMT 2015; both over the whole corpus, by sacrebleu (Post, WMT 2018)
    at its defaults. ``lowercase`` ignores case. Exact match ignores leading and trailing spaces. Raises UsageError if
    sacrebleu is not installed.

    Example: ``score_translations(["a cat"], ["a cat"])["exact_match"]`` is 1.0.
    """
    pairs = [(one.strip(), other.strip()) for one, other in zip(predictions, truth, strict=True)]
    if lowercase:
        pairs = [(one.lower(), other.lower()) for one, other in pairs]
    found = {"exact_match": sum(one == other for one, other in pairs) / len(pairs)}
    for name, metric in _metrics(lowercase).items():
        found[name] = float(metric.corpus_score(list(predictions), [list(truth)]).score)
    return found


def signatures(lowercase: bool = False) -> dict[str, str]:
    """sacrebleu's signatures of "bleu" and "chrf", to be reported with the scores."""
    found = {}
    for name, metric in _metrics(lowercase).items():
        metric.corpus_score(["a"], [["a"]])  # the signature includes the number of references of the last call
        found[name] = str(metric.get_signature())
    return found


def expect_sacrebleu() -> None:
    """Raise UsageError if sacrebleu is not installed: before training, not after it."""
    _metrics(lowercase=False)


def _metrics(lowercase: bool) -> dict[str, Any]:
    try:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
    except ImportError:
        raise UsageError(
            "translations are scored with sacrebleu, which is not installed: pip install lamina[text]"
        ) from None
    return {"bleu": BLEU(lowercase=lowercase), "chrf": CHRF(lowercase=lowercase)}
