"""Results of which less is better, and what they are compared with."""

from __future__ import annotations

import bz2
from pathlib import Path

import pytest

import lamina
from lamina.reproduction.baselines import BASELINES
from lamina.reproduction.kneser_ney import KneserNey
from lamina.reproduction.results import (
    Expected,
    Result,
    describe_outcome,
    goal_of,
    load_results,
    render_results,
    save_result,
)
from sample_texts import write_book


def result(metric: str, value: float, **expected: object) -> Result:
    wanted = Expected(metric=metric, **expected)  # type: ignore[arg-type]
    bar = wanted.bar if wanted.baseline is None else 100.0
    return Result(
        recipe="r", expected=wanted, values=(value,), bar=bar, minutes=1.0, hardware="cpu", command="c", versions={},
        beside=dict.fromkeys(wanted.beside, 2.5),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "value", "bar", "reached"),
    [
        ("perplexity", 99.0, 100.0, True), ("perplexity", 101.0, 100.0, False), ("loss", 1.4, 1.5, True),
        ("bits_per_character", 2.1, 2.0, False), ("accuracy", 0.9, 0.8, True), ("bleu", 20.0, 30.0, False),
    ],
)  # fmt: skip
def test_whether_a_bar_is_reached_depends_on_what_is_better(
    metric: str, value: float, bar: float, reached: bool
) -> None:
    assert result(metric, value, bar=bar).reached is reached


def test_what_is_to_be_reached_is_told_with_its_sign(tmp_path: Path) -> None:
    assert goal_of("lstm-lm-small-ptb") == ("lstm-lm-small-ptb", "$LAMINA_DATA/ptb", "test perplexity <= 116.0")
    assert goal_of("mlp-diabetes")[2] == "test r2 >= ridge - 0.02"
    below = result("perplexity", 99.0, baseline="kneser-ney")
    coded = result("bits_per_character", 1.9, bar=2.0, beside=("bz2", "bz2-after-train"))
    assert "bz2 2.5000" in describe_outcome(coded)
    for one in (below, coded):
        save_result(one, tmp_path / one.expected.metric)
        assert load_results(tmp_path / one.expected.metric) == [one]
    page = render_results([below, coded])
    assert "100.0000 (kneser-ney)" in page
    assert "2.0000; bz2 2.5000; bz2-after-train 2.5000" in page


def test_the_figures_beside_are_of_the_runs_own_data(tmp_path: Path) -> None:
    book = write_book(tmp_path / "book.txt", lines=100)
    run = lamina.train(
        "lstm-lm-small", data=str(book), steps=2, batch_size=4, tokenizer="word", directory=tmp_path, report=False,
        model_options={"embedding_dim": 4, "hidden_size": 4},
    )  # fmt: skip
    train, test = (run.source.splits[name].text for name in ("train", "test"))  # type: ignore[union-attr]
    code = run.preprocess.code  # type: ignore[union-attr]
    five = KneserNey(code.encode(train), 5, code.size).perplexity(code.encode(test))
    assert BASELINES["kneser-ney"](run, "test") == pytest.approx(five, rel=1e-12)
    assert 1 < five < 4, "it knows these sentences"
    packed = [len(bz2.compress(text.encode())) for text in (train, test, train + test)]
    assert BASELINES["bz2"](run, "test") == 8 * packed[1] / len(test)
    assert BASELINES["bz2-after-train"](run, "test") == 8 * (packed[2] - packed[0]) / len(test)
