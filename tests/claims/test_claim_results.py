"""What is kept of a claim, the table and the page."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from claim_examples import EVIL, example, result_of

from lamina.claims import rendering
from lamina.claims.running import ClaimResult, read_result, reading, write_result
from lamina.errors import DataError


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    result = result_of(0.123456789123, 1e-17, 0.0)
    path = write_result(result, tmp_path / "new")
    assert path == tmp_path / "new" / "example.json"
    assert read_result(path) == result
    kept = json.loads(path.read_text())
    assert kept["numbers"] == {"error": [0.12345679, 1e-17, 0.0]}
    assert kept["summary"]["error"]["mean"] == pytest.approx(0.12345679 / 3)
    assert kept["settings"] == {"seeds": [0, 1, 2]}
    assert kept["bars"] == [{"number": "error", "why": "so", "at_most": 1.0}]
    assert {"torch", "python", "system"} <= set(kept["environment"])


def test_infinities_come_back_too(tmp_path: Path) -> None:
    result = result_of(math.inf, 0.0)
    again = read_result(write_result(result, tmp_path))
    assert again.numbers == {"error": (math.inf, 0.0)}
    assert read_result(write_result(result_of(0.0), tmp_path)).margin == math.inf


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "summary": {}}'])
def test_a_file_that_is_no_result_is_one_clear_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "example.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"example\.json is not the result of a claim"):
        read_result(path)


def test_the_reading_is_filled_from_the_numbers() -> None:
    result = result_of(0.123456, 0.123456)
    assert reading(example(lambda _: 0.0), result) == "The error is 0.123, or 0.12346, over seeds 0, 1."
    with pytest.raises(KeyError):
        reading(example(lambda _: 0.0, reading="{eror}"), result)


class Parsed(HTMLParser):
    """Elements and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.asked: list[str] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.asked += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.words += data


def page(monkeypatch: pytest.MonkeyPatch, result: ClaimResult, **changes: object) -> Parsed:
    monkeypatch.setattr(rendering, "get_claim", lambda _: example(lambda _: 0.0, **changes))
    return Parsed(rendering.render_page([result]))


def test_the_page_shows_all_of_a_claim_and_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = page(monkeypatch, result_of(0.25, 0.75), loose="Told loosely.")
    for words in ("example", "An example.", "holds", "1.3×", "Nobody, 1900", "Told loosely.", "The error is 0.5"):
        assert words in found.words, words
    for words in ("the error ≤ 1: so", "0.5 ± 0.35", "seed 1", "0.75", "A line", "seeds", "torch"):
        assert words in found.words, words
    assert "svg" in found.tags
    assert "script" not in found.tags
    assert all(target.startswith(("#", "data:")) for target in found.asked)


def test_names_are_never_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    result = replace(
        result_of(0.25, 0.75), name=EVIL, sentence=EVIL, source=EVIL, settings={"seeds": [0, 1], EVIL: EVIL}
    )
    words = {"caption": EVIL, "reading": EVIL, "names": {"error": EVIL}, "loose": EVIL}
    found = page(monkeypatch, result, **words)
    assert "script" not in found.tags
    assert found.words.count(EVIL) >= 8


def test_a_page_of_results_that_were_kept_has_their_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = result_of(0.25, 0.75)
    path = write_result(fresh, tmp_path)
    without = page(monkeypatch, read_result(path))
    assert "svg" not in without.tags
    assert "lamina claims example --out FILE" in without.words
    rendering.write_figure(fresh, tmp_path)
    assert rendering.render_page([read_result(path)]) == rendering.render_page([fresh])


def test_the_page_of_the_repository_is_light() -> None:
    """A figure of thousands of marks is megabytes that nobody can read."""
    figures = [*(Path(__file__).parents[2] / "results" / "claims").glob("*.svg")]
    assert len(figures) > 50
    assert max(figure.stat().st_size for figure in figures) < 250_000


def test_the_table_has_the_tightest_bar_and_keeps_its_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "get_claim", lambda _: example(lambda _: 0.0))
    text = rendering.render_table([replace(result_of(0.25, 0.75), sentence="a | b")])
    assert "| `example` | a \\| b | **holds** | the error | 0.5 ± 0.35 | ≤ 1 | 1.3× | Nobody, 1900 |\n" in text
    assert "| `example` | the error | 0.5 ± 0.35 | ≤ 1 | 1.3× | so |\n" in text
