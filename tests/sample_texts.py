"""Small texts for training in seconds: a book, reviews with a label."""

from __future__ import annotations

import random
from pathlib import Path

GOOD = ("wonderful", "great", "moving", "brilliant", "funny", "fine")
BAD = ("boring", "awful", "dull", "terrible", "weak", "flat")


def write_book(path: Path, lines: int = 500) -> Path:
    """Sentences of a few words."""
    draw = random.Random(0)
    nouns, places, seen = ("cat", "dog", "bird"), ("mat", "roof", "tree"), ("sun", "moon")
    text = [
        f"The {draw.choice(nouns)} sat on the {draw.choice(places)} and saw the {draw.choice(seen)}."
        for _ in range(lines)
    ]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def write_reviews(path: Path, rows: int = 240) -> Path:
    """Tab-separated: text and label."""
    draw = random.Random(1)
    lines = ["text\tlabel"]
    for i in range(rows):
        words, label = (GOOD, "positive") if i % 2 else (BAD, "negative")
        begin, what = draw.choice(("A", "The", "What a")), draw.choice(("film", "story", "cast"))
        how = draw.choice(("truly", "at times"))
        lines.append(f"{begin} {draw.choice(words)} {what}, {how} {draw.choice(words)}.\t{label}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
