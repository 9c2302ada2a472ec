"""What the README tells people to type works, as typed; training lengths are cut."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import lamina
from lamina.cli.main import main
from lamina.tasks.table import TASKS
from sample_texts import write_reviews

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the picture of a digit."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray((load_digits().images[3] * 15.9).astype("uint8")).save("digit.png")
    return tmp_path


def test_the_python_runs(folder: Path) -> None:
    (code,) = blocks("python")
    assert "epochs=5" in code
    names: dict[str, object] = {}
    exec(code.replace("epochs=5", "epochs=1"), names)
    run = names["run"]
    assert isinstance(run, lamina.Run)
    assert run.path == Path("runs/lenet5-digits")


def test_every_task_and_every_extra_is_named() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [f"`{name}`" for name in project["optional-dependencies"] if name != "dev"]
    assert [name for name in extras if name not in README] == []
    listed = README.split("## Tasks and objectives")[1].split("`--objective`")[0]
    assert [name for name in TASKS.own if name not in listed] == []


def test_the_commands_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = [line.split("  #")[0].strip() for line in blocks("sh")[1].splitlines() if line.startswith("lamina ")]
    assert len(commands) >= 9
    for command in commands:
        words = shlex.split(command.replace("--epochs 5", "--epochs 1").replace("--epochs 8", "--epochs 2"))
        if "diabetes" in words:
            words += ["--epochs", "2"]
        assert main(words[1:]) == 0, f"{command}: {capsys.readouterr().err}"
    assert (folder / "runs/lenet5-digits/report.html").exists()


def test_the_commands_for_text_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_reviews(folder / "reviews.tsv")
    small = {
        "transformer-lm": "--limit 20000 --model.layers 1 --model.width 32 --model.context 64",
        "lstm-classifier": "--model.hidden_size 16 --model.embedding_dim 16",
        "transformer-small": "--limit 400 --test 0.002 --validation 0.002 --model.width 32 --model.layers 1",
    }
    commands = [line.split("  #")[0].strip() for line in blocks("sh")[2].splitlines()]
    assert len(commands) == 8
    said = {}
    for command in commands:
        words = shlex.split(command.replace("--epochs 5", "--epochs 1"))
        if words[1] == "train":
            words += shlex.split(small[words[2]])
        assert main(words[1:]) == 0, f"{command}: {capsys.readouterr().err}"
        said[words[1]] = capsys.readouterr().out
    assert said["generate"].startswith("The ")
    assert "exact_match" in said["evaluate"]
    assert "bleu" in said["evaluate"].casefold()
    for run in ("transformer-lm-python-docs", "lstm-classifier-reviews", "transformer-small-dates"):
        assert (folder / "runs" / run / "report.html").exists()


def parameters(name: str) -> int:
    """Of all players."""
    count = lamina.card(name).parameters
    assert count is not None
    return count if isinstance(count, int) else sum(count.values())


def test_the_table_lists_the_architectures_that_exist() -> None:
    table = README[README.index("| names | paper |") : README.index("\n\n", README.index("| names | paper |"))]
    rows = [line.split(" | ") for line in table.strip().splitlines()[2:]]
    listed = [name for row in rows for name in re.findall(r"`([^`]+)`", row[0])]
    assert sorted(listed) == sorted(lamina.list_models())
    for row in rows:
        names = re.findall(r"`([^`]+)`", row[0])
        known = sorted(parameters(name) for name in names)
        told = [
            float(n.replace(",", "")) * (1e6 if m else 1)
            for n, m in re.findall(r"([\d.,]*\d)(M?)", row[2].split("(")[0])
        ]
        near = (known[0], known[-1]) if len(told) == 2 else (known[0],)
        assert sorted(told) == pytest.approx(near, rel=0.02), row


def test_the_commands_for_style_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = np.random.default_rng(0)
    for name in (
        "house.jpg",
        "starry-night.jpg",
        *(f"{of}/{k}.png" for of in ("photos", "paintings") for k in range(12)),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (64, 72, 3), dtype=np.uint8)).save(folder / name)
    small = {
        "style house.jpg": "--features squeezenet-1.1 --steps 2 --size 48",
        "train johnson": "--objective.features squeezenet-1.1 --steps 2 --model.width 4 --model.image-size 64",
        "train adain": "--steps 2 --model.widths 4,4,6,8 --model.image-size 64",
    }
    commands = [line.split("  #")[0].strip() for line in blocks("sh")[3].splitlines()]
    assert len(commands) == 5
    for command in commands:
        words = shlex.split(command.replace(" --weights vgg19.pth", ""))
        words += [word for name, more in small.items() if name in command for word in more.split()]
        assert main(words[1:]) == 0, f"{command}: {capsys.readouterr().err}"
    assert (folder / "house-styled-3.png").is_file()
