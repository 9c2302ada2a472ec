"""Every command and snippet of the pages that were written for the site runs, as typed; trainings are cut short.

A command that the README has word for word is run by its own test, unless another one needs what it leaves behind.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from lamina import registry
from lamina.cli.main import main
from sample_texts import write_book, write_reviews

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        ROOT / "docs" / "index.md",
        ROOT / "docs" / "getting_started.md",
        *(ROOT / "docs" / "guides").glob("*.md"),
        *(ROOT / "docs" / "families").glob("*.md"),
    ],
    key=lambda path: (path.name != "getting_started.md", str(path)),  # the first page leaves runs for the others
)
SMALL = {
    "lstm-classifier": "--model.hidden_size 16 --model.embedding_dim 16",
    "transformer-lm": "--model.layers 1 --model.width 32 --model.context 64",
    "vae": "--limit 300",
    "autoencoder": "--limit 300",
    "lenet5": "--limit 400",
    "dlinear": "--model.context 28",
}
"""options that make a training small, by model"""
SHORT = {"--objective": "--objective.name", "--style": "--objective.style"}
NEEDED = ("train lenet5 --data digits",)
"""of the README's own commands those that leave a run for others here"""


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.S)


def commands(path: Path) -> list[str]:
    lines = [line.split("  #")[0].strip() for block in blocks(path, "sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("lamina ")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the pages speak of: a picture of a digit, photographs, reviews, a book, sales."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    Image.fromarray((load_digits().images[3] * 15.9).astype("uint8")).save("digit.png")
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(12):
            Image.fromarray(draw.integers(0, 255, (12, 10), dtype=np.uint8)).save(f"photos/{name}/{k}.png")
    write_reviews(tmp_path / "reviews.tsv")
    write_book(tmp_path / "book.txt", 200)
    days = pd.date_range("2020-01-01", periods=300).strftime("%Y-%m-%d")
    pd.DataFrame({"date": days, "sales": draw.uniform(5, 9, 300).round(2)}).to_csv("sales.csv", index=False)
    return tmp_path


def shortened(command: str) -> list[str]:
    """The words of a command, its training cut to an epoch, its model to a small one."""
    words = shlex.split(re.sub(r"--epochs \d+", "--epochs 1", command))[1:]
    if words[0] != "train" or "photos/" in words:  # two dozen pictures
        return words
    return words + shlex.split(SMALL.get(words[1], ""))


@pytest.fixture
def own_models(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Models that a snippet registers are gone afterwards."""
    before = dict(registry._REGISTERED)
    yield
    registry._REGISTERED.clear()
    registry._REGISTERED.update(before)
    for cached in (registry._extra, registry._cards, registry._names):
        cached.cache_clear()


def test_the_commands_and_snippets_run(
    folder: Path, own_models: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one folder, page after page: snippets use the runs that commands left."""
    readme = {line.split("  #")[0].strip() for block in blocks(ROOT / "README.md", "sh") for line in block.splitlines()}
    done: set[str] = set()
    count = 0
    for path in PAGES:
        for command in commands(path):
            count += 1
            words = shortened(command)
            if " ".join(words) in done or (command in readme and not any(need in command for need in NEEDED)):
                continue
            done.add(" ".join(words))
            assert main(words) == 0, f"{path.name}: {command}: {capsys.readouterr().err}"
        run_snippets(path, monkeypatch)
    assert count > 30
    assert (folder / "runs/lenet5-digits/report.html").is_file()
    assert (folder / "digits.onnx").is_file()


def run_snippets(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page one after the other, as in a module of their own: dataclasses look theirs up."""
    module = ModuleType("snippet")
    monkeypatch.setitem(sys.modules, "snippet", module)
    for block in blocks(page, "python"):
        code = compile(block.replace("epochs=5", "epochs=1"), str(page), "exec", dont_inherit=True)
        exec(code, module.__dict__)


def test_no_command_of_any_page_names_an_option_that_is_not_there() -> None:
    """Also of those that need a file of the reader's: the verb exists, and it or a model has the option."""
    known: dict[str, set[str]] = {}
    for line in (ROOT / "tests" / "cli" / "flags.txt").read_text(encoding="utf-8").splitlines():
        verb, _, flag = line.partition(": ")
        known.setdefault(verb, set()).update(re.findall(r"--[\w.-]+", flag.replace("_", "-")))
    trains = set().union(*(options for verb, options in known.items() if verb.startswith("train")))
    wrong, seen = [], 0
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        found = re.findall(r"```(?:sh)?\n(.*?)```|((?:^    .*\n)+)", text, flags=re.S | re.M)
        lines = [line.strip() for fenced, indented in found for line in (fenced or indented).splitlines()]
        for line in (line for line in lines if line.startswith("lamina ")):
            words = line.split("  #")[0].split()
            seen += 1
            options = {word.partition("=")[0].replace("_", "-") for word in words if re.match(r"--[a-z]", word)}
            options = {SHORT.get(option, option) if words[1] == "train" else option for option in options}
            own = known.get(f"train {words[2]}") if words[1] == "train" else set()
            if words[1] not in known or not options <= known[words[1]] | (trains if own is None else own):
                wrong.append(f"{path.name}: {line}")
    assert seen > 100
    assert wrong == []
