"""How good translations are: exact matches, and BLEU and chrF as sacrebleu calculates them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lamina.errors import UsageError


def score_translations(said: Sequence[str], truth: Sequence[str], *, lowercase: bool = False) -> dict[str, float]:
    """Translations against one reference each: "exact_match" (a share), "bleu" and "chrf" (0 to 100).

    BLEU: Papineni et al., ACL 2002; chrF: Popovic, WMT 2015; both over the whole corpus, by sacrebleu (Post, WMT 2018)
    at its defaults. ``lowercase``: case does not count. Spaces around a text never count in exact matches. Raises
    UsageError where sacrebleu is not installed.
    """
    pairs = [(one.strip(), other.strip()) for one, other in zip(said, truth, strict=True)]
    if lowercase:
        pairs = [(one.lower(), other.lower()) for one, other in pairs]
    found = {"exact_match": sum(one == other for one, other in pairs) / len(pairs)}
    for name, metric in _metrics(lowercase).items():
        found[name] = float(metric.corpus_score(list(said), [list(truth)]).score)
    return found


def signatures(lowercase: bool = False) -> dict[str, str]:
    """What sacrebleu says of how "bleu" and "chrf" are calculated: to be told with every figure of theirs."""
    found = {}
    for name, metric in _metrics(lowercase).items():
        metric.corpus_score(["a"], [["a"]])  # the signature counts the references of what was scored last
        found[name] = str(metric.get_signature())
    return found


def expect_sacrebleu() -> None:
    """Raises UsageError where it is not installed: before a training, not after it."""
    _metrics(lowercase=False)


def _metrics(lowercase: bool) -> dict[str, Any]:
    try:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
    except ImportError:
        raise UsageError(
            "translations are judged with sacrebleu, which is not installed: pip install lamina[text]"
        ) from None
    return {"bleu": BLEU(lowercase=lowercase), "chrf": CHRF(lowercase=lowercase)}
