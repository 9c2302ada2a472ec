"""BLEU of languages that are written without spaces between words."""

from __future__ import annotations

import pytest

from lamina.tasks.translation_scores import bleu_tokenizer, score_translations, signatures

CHINESE = ["今天天气很好，我们去公园吧。", "他昨天买了一本新书。"]
NEARLY = ["今天天气很好，我们去学校吧。", "他昨天买了一本旧书。"]


@pytest.mark.parametrize(
    ("language", "texts", "expected"),
    [
        ("zh", ["anything"], "zh"),
        ("zh-CN", [], "zh"),
        ("ja", [], "char"),
        ("th", [], "char"),
        ("de", CHINESE, "13a"),  # a code says more than the letters
        ("second", CHINESE, "zh"),
        ("tgt", ["これは本です。", "私は東京に住んでいます。"], "char"),
        ("second", ["สวัสดีครับ"], "char"),
        ("second", ["a sentence", "with 漢字 in it, and more words beside"], "13a"),
        ("second", [], "13a"),
    ],
)
def test_the_tokenizer_follows_from_language_or_script(language: str, texts: list[str], expected: str) -> None:
    assert bleu_tokenizer(language, texts) == expected


def test_nearly_right_is_not_nothing() -> None:
    """Split at spaces a Chinese sentence is one word: BLEU 0 for a single wrong character."""
    spaced = score_translations(NEARLY, CHINESE)["bleu"]
    right = score_translations(NEARLY, CHINESE, tokenizer="zh")["bleu"]
    assert spaced < 1
    assert right > 50
    assert "tok:zh" in signatures(tokenizer="zh")["bleu"]
