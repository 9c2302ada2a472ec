"""The commands and snippets of the pages that were there before the site run, too, on tiny data; those that do not are
in ``NOT_RUN``, each with its reason. docs/data.md, the README and the pages that were written for the site have tests
of their own."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import lamina
from lamina.cli.main import main
from sample_texts import write_reviews

DOCS = Path(__file__).parents[2] / "docs"
OLD_RUNS = Path(__file__).parents[1] / "runs" / "old_runs"
ELSEWHERE = {"index", "getting_started", "data", "claims", "conformance", "parity", "architecture"}
"""run by another test, or written by a command"""
PAGES = sorted(path.stem for path in DOCS.glob("*.md") if path.stem not in ELSEWHERE)
STYLED = "--model.base 16 --model.widest 4 --model.latent 4 --model.style 4 --model.mapping-layers 2 --model.group 2"
SMALL = {
    "train gan-toy": "--steps 2 --limit 200",
    "train dcgan-16": "--steps 1 --batch-size 20 --limit 60",
    "generate gan-toy": "--count 20",
    "search lenet5": "--trials 2 --limit 200 --epochs 1",
    "search retrain": "--epochs 1",
    "train gru-forecaster": "--epochs 1 --batch-size 64",
    "train mlp-forecaster": "--epochs 1",
    "train stylegan-32": f"--images 16 --objective.start 16 --objective.batch-sizes 4 --limit 40 {STYLED}",
}
"""options by the beginning of a command, in the place of those that make it large"""
FILE, RUN, HUB = "needs a published file of weights", "stands for a run of the reader's", "needs a hub"
SEARCH = "a search of hours: tests/runs/test_architecture_search_runs.py"
NOT_RUN = {
    "train wgan-gp": "seconds: tests/runs/adversarial/test_adversarial_runs.py",
    "train dcgan-28": "seconds: tests/runs/adversarial/test_adversarial_runs.py",
    "generate dcgan-28-mnist": "needs a run of a command that is not run",
    "inspect dcgan-28-mnist": "seconds: tests/runs/adversarial/test_adversarial_inspection.py",
    "train gru-forecaster --task anomaly": "seconds: tests/runs/series",
    "train autoencoder-lstm": "seconds: tests/runs/series",
    "train stylegan2-32": "seconds: tests/runs/adversarial/test_style_runs.py",
    "inspect runs/stylegan-32-digits": "seconds: tests/runs/adversarial/test_style_runs.py",
    "train cyclegan": "seconds: tests/runs/translation/test_cyclegan_runs.py",
    "predict runs/cyclegan": "seconds: tests/runs/translation/test_cyclegan_runs.py",
    "inspect runs/cyclegan": "seconds: tests/runs/translation/test_cyclegan_runs.py",
    "evaluate dcgan": "judges thousands of samples: tests/runs/adversarial/test_sample_metric_runs.py",
    "train darts-supernet": SEARCH,
    "train enas": SEARCH,
    "inspect runs/search": SEARCH,
    "train --config runs/search/architecture.yaml": SEARCH,
    "export resnet50 --to torch --weights": FILE,
    "export runs/lenet5-digits --to openvino": "seconds: tests/export/test_export_verb.py, test_int8.py",
    "export runs/lenet5-digits --to onnx --int8": "seconds: tests/export/test_int8.py",
    "export runs/lenet5-digits --to onnx --with-preprocessing": "seconds: tests/export/test_exported_pictures.py",
    "predict digits.xml": "needs the file of a command that is not run",
    "predict runs/lenet5-digits photo.png --engine openvino": "seconds: tests/export/test_exported_files.py",
    "generate runs/transformer-lm-book": "tests/export/test_exported_state.py",
    "export runs/transformer-lm-book": "tests/export/test_exported_state.py",
    "predict runs/transformer-small-dates": "tests/export/test_exported_state.py",
    "train --config vae-mnist": "a published recipe on MNIST: make reproduce",
    "inspect swin-tiny": FILE,
    "train resnet18 --data photos/ --devices": "four processes: tests/runs/scaling",
    "train gpt2-xl": "eight processes: tests/runs/scaling",
    "train resnet50 --data shards/": "eight workers: tests/runs/scaling",
    "search front": "needs several objectives: tests/cli/test_cli_search.py",
    "train lstm-forecaster --data CMAPSSData": "needs C-MAPSS: tests/runs/series/test_remaining_life.py",
    "predict RUN": RUN,
    "evaluate RUN": RUN,
    "serve": "does not end: tests/serving/test_serve_process.py",
    "studio": "does not end: make studio",
    "push": f"{HUB}: tests/hub",
    "predict hf:": f"{HUB}: tests/cli/test_cli_hub.py",
    "train resnet50 --data photos/ --weights": FILE,
    "convert resnet50": FILE,
}
"""the beginning of a command, and why it is not run here"""
SNIPPETS_NOT_RUN = {"weights": FILE, "search": "a search of 20 trainings: tests/search"}
REPLACED = (
    "--images", "--objective.start", "--epochs", "--trials", "--count", "--model.generator-widths",
    "--model.discriminator-widths", "--model.image-size",
)  # fmt: skip


def commands(page: str) -> list[str]:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    every = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.S | re.M)
    fenced = [block for language, block in every if language in ("", "sh")]
    indented = re.findall(r"((?:^    .*\n)+)", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), flags=re.M)
    lines = [line.split("  #")[0].split(" > ")[0].strip() for block in fenced + indented for line in block.splitlines()]
    return [line.removeprefix("lamina ") for line in lines if line.startswith("lamina ")]


def reason(command: str) -> str | None:
    return next((start for start in NOT_RUN if command.startswith(start)), None)


def shortened(command: str) -> list[str]:
    """The words of a command with the options of ``SMALL`` in the place of its own."""
    more = shlex.split(next((small for start, small in SMALL.items() if command.startswith(start)), ""))
    words = shlex.split(command)
    for option in [word for word in REPLACED if word in more and word in words]:
        at = words.index(option)
        del words[at : at + 2]
    return words + more


def pictures(folder: Path, count: int, size: tuple[int, ...], draw: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        Image.fromarray(draw.integers(0, 255, size, dtype=np.uint8)).save(folder / f"{k}.png")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages speak of."""
    home, draw = tmp_path_factory.mktemp("pages"), np.random.default_rng(0)
    for name, digit in (("digit", 3), ("photo", 5), ("seven", 7), ("two", 2)):
        Image.fromarray((load_digits().images[digit] * 15.9).astype("uint8")).save(home / f"{name}.png")
    for name in ("cat", "dog"):
        pictures(home / "photos" / name, 12, (16, 16, 3), draw)
    (home / "shards").mkdir()
    for shard in range(2):
        with tarfile.open(home / "shards" / f"{shard:04}.tar", "w") as tar:
            for k in range(12):
                content = (home / "photos" / ("cat", "dog")[k % 2] / f"{k}.png").read_bytes()
                for ending, data in (("png", content), ("cls", str(k % 2).encode())):
                    member = tarfile.TarInfo(f"{shard}{k:03}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    write_reviews(home / "reviews.tsv", 60)
    days = pd.date_range("2020-01-01", periods=314).strftime("%Y-%m-%d")
    sales = pd.DataFrame({"date": days, "sales": draw.uniform(5, 9, 314), "holiday": np.arange(314) % 30 // 29})
    sales[:300].to_csv(home / "sales.csv", index=False)
    sales[300:].drop(columns="sales").to_csv(home / "future.csv", index=False)
    machines = [
        {"machine": f"m{unit}", "wear": k / 40 + draw.normal() / 50} for unit in range(12) for k in range(30 + unit)
    ]
    pd.DataFrame(machines).to_csv(home / "machines.csv", index=False)
    return home


@pytest.fixture(scope="module")
def runs(home: Path) -> Path:
    """The runs that the pages name and do not train."""
    given: dict[str, Any] = {"directory": home / "runs", "report": False, "epochs": 1}
    lamina.train("lenet5", data="digits", limit=80, name="lenet5-digits", **given)
    lamina.train("vae", data="digits", limit=80, name="vae-mnist", **given)
    small = {"hidden_size": 8, "embedding_dim": 8}
    reviews = str(home / "reviews.tsv")
    lamina.train("lstm-classifier", data=reviews, name="lstm-classifier-sst2", model_options=small, **given)
    shutil.copytree(OLD_RUNS / "text", home / "runs" / "lstm-lm-small-book")
    shutil.copytree(OLD_RUNS / "pairs", home / "runs" / "seq2seq-attention-dates")
    return home / "runs"


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(
    page: str, home: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    for command in commands(page):
        if reason(command) is None:
            assert main(shortened(command)) == 0, f"{command}: {capsys.readouterr().err}"


def test_what_is_not_run_is_there() -> None:
    """No reason outlives its command."""
    every = [command for page in PAGES for command in commands(page)]
    assert len(every) > 60
    used = {reason(command) for command in every}
    assert set(NOT_RUN) - used == set()
    assert sum(reason(command) is None for command in every) > 20


def test_the_snippets_of_the_pages_run(home: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With models and inputs of the kinds that the text around them speaks of."""
    monkeypatch.chdir(home)
    frame, future = pd.read_csv("sales.csv"), pd.read_csv("future.csv")
    forecaster = lamina.train("dlinear", data=frame, time="date", target="sales", known=("holiday",), horizon=14,
                              context=28, epochs=1, report=False, name="plain")  # fmt: skip
    plain = lamina.train("dlinear", data=frame[["date", "sales"]], time="date", horizon=3, context=28, epochs=1,
                         report=False, name="other")  # fmt: skip
    lenet, reader = lamina.create_model("lenet5"), lamina.open_run("runs/seq2seq-attention-dates").model
    language = lamina.open_run("runs/lstm-lm-small-book").model
    attends = lamina.create_model("transformer-lm", vocab_size=40, layers=1, width=16, context=16)
    x_BCHW, tokens_BT = torch.rand(2, 1, 32, 32), torch.randint(4, 9, (2, 5))
    known: dict[str, dict[str, Any]] = {
        "inspect": {"model": lenet, "x_BCHW": x_BCHW, "tokens_BT": tokens_BT, "source_BS": tokens_BT},
        "export": {"model": lenet.eval(), "images": x_BCHW},
        "series": {"run": plain, "frame": frame, "future": future},
    }
    seen = []
    for page in PAGES:
        text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
        for block in re.findall(r"^```python\n(.*?)^```", text, flags=re.S | re.M):
            if page in SNIPPETS_NOT_RUN:
                continue
            names = {"lamina": lamina, "torch": torch, **known[page]}
            if "alignments(" in block:  # of several kinds of model
                names |= {"model": attends, "reader": reader, "language": language, "tokens_T": tokens_BT[0]}
                block = block.replace("alignments(model", "alignments(reader")
                block = re.sub(r"(gate_traces|gradient_by_lag|text_surprisal)\(model", r"\1(language", block)
            if "known=future" in block:
                block = block.replace("run.predict(History", "forecaster.predict(History")
                names["forecaster"], names["future"] = forecaster, future
            exec(compile(block, f"{page}.md", "exec", dont_inherit=True), names)
            seen.append(page)
    assert {"inspect", "export", "series"} <= set(seen)
