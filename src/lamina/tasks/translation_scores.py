"""Scores of translations: exact match, and BLEU and chrF by sacrebleu."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lamina.errors import UsageError

UNSPACED = {"zh": "zh", "yue": "zh", "ja": "char", "th": "char", "lo": "char", "km": "char", "my": "char", "bo": "char"}
"""languages written without spaces between words: sacrebleu's tokenizer for them, by code"""
SCRIPTS = {
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "CJK": "zh",
    "THAI": "th",
    "LAO": "lo",
    "KHMER": "km",
    "MYANMAR": "my",
    "TIBETAN": "bo",
}
"""the language of a script, by the first word of its characters' names"""
WORDS = "13a"
"""sacrebleu's tokenizer for languages with spaces between words"""
SIDES = ("src", "tgt")
"""what files of pairs are called that do not name their languages"""
LOOKED_AT = 200
"""texts that a script is looked for in"""


def score_translations(
    predictions: Sequence[str], truth: Sequence[str], *, lowercase: bool = False, tokenizer: str = WORDS
) -> dict[str, float]:
    """Translations against one reference each: "exact_match" (a share), "bleu" and "chrf" (0 to 100).

    BLEU: Papineni et al., ACL 2002; chrF: Popovic, WMT 2015; both over the whole corpus, by sacrebleu (Post, WMT 2018).
    ``lowercase``: case does not count. ``tokenizer`` is BLEU's, see ``bleu_tokenizer``. Spaces around a text never
    count in exact matches. Raises UsageError where sacrebleu is not installed.

        score_translations(["a cat"], ["a cat"])  # {"exact_match": 1.0, "bleu": ..., "chrf": 100.0}
    """
    pairs = [(one.strip(), other.strip()) for one, other in zip(predictions, truth, strict=True)]
    if lowercase:
        pairs = [(one.lower(), other.lower()) for one, other in pairs]
    found = {"exact_match": sum(one == other for one, other in pairs) / len(pairs)}
    for name, metric in _metrics(lowercase, tokenizer).items():
        found[name] = float(metric.corpus_score(list(predictions), [list(truth)]).score)
    return found


def signatures(lowercase: bool = False, tokenizer: str = WORDS) -> dict[str, str]:
    """sacrebleu's signatures of "bleu" and "chrf", which belong to every figure of theirs."""
    found = {}
    for name, metric in _metrics(lowercase, tokenizer).items():
        metric.corpus_score(["a"], [["a"]])  # the signature counts the references of what was scored last
        found[name] = str(metric.get_signature())
    return found


def bleu_tokenizer(language: str, texts: Sequence[str]) -> str:
    """sacrebleu's tokenizer for a language: by its code ("zh-CN"), or where that is none by the script of ``texts``.

    Split at spaces, a sentence of Chinese, Japanese or Thai is one word, and BLEU 0 or 100.
    """
    code = language.casefold().replace("_", "-").split("-")[0]
    if code in UNSPACED:
        return UNSPACED[code]
    if len(code) in (2, 3) and code not in SIDES:
        return WORDS
    letters = [char for text in texts[:LOOKED_AT] for char in text if char.isalpha()]
    found = Counter(SCRIPTS.get(unicodedata.name(char, "").split(" ")[0].split("-")[0]) for char in letters)
    unspaced = {script: count for script, count in found.items() if script is not None}
    if 2 * sum(unspaced.values()) <= len(letters):
        return WORDS
    if "ja" in unspaced:  # with which Chinese characters are mixed
        return UNSPACED["ja"]
    return UNSPACED[max(unspaced, key=lambda script: unspaced[script])]


def expect_sacrebleu() -> None:
    """Raises UsageError where it is not installed: before a training, not after it."""
    _metrics(lowercase=False, tokenizer=WORDS)


def _metrics(lowercase: bool, tokenizer: str) -> dict[str, Any]:
    try:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
    except ImportError:
        raise UsageError(
            "translations are scored with sacrebleu, which is not installed: pip install lamina[text]"
        ) from None
    return {"bleu": BLEU(lowercase=lowercase, tokenize=tokenizer), "chrf": CHRF(lowercase=lowercase)}
