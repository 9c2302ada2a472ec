"""Every command and snippet of docs/data.md runs, on files of the kinds that it describes."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lamina.cli.main import main
from lamina.data.options import DataOptions

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
ELSEWHERE = {"layout", "lowercase", "max_tokens", "max_extracted_bytes", "fold", "teaches", "supervised"}
"""options that the page need not show"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.S)


def houses() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    rooms, area = draw.integers(1, 6, 60), draw.uniform(30, 200, 60).round(1)
    return pd.DataFrame({"rooms": rooms, "area": area, "price": (1000 * area + 5000 * rooms).round(2)})


def tables(folder: Path) -> None:
    frame = houses()
    frame.to_csv(folder / "houses.csv", index=False)
    frame.to_json(folder / "houses.jsonl", orient="records", lines=True)
    frame.to_json(folder / "houses.json", orient="records")
    frame.to_csv(folder / "semicolons.csv", index=False, sep=";")
    frame.to_csv(folder / "bare.csv", index=False, header=False)
    frame.assign(town="Köln").to_csv(folder / "western.csv", index=False, encoding="cp1252")
    german = frame.map(lambda value: f"{value:,.2f}".replace(",", "_").replace(".", ",").replace("_", "."))
    german.to_csv(folder / "prices.csv", index=False, sep=";")
    whole = frame.assign(price=[f"{1 + k % 9},{100 + k}" for k in range(60)])
    whole.to_csv(folder / "open.csv", index=False)
    gaps = frame.astype(object)
    gaps.loc[::4, "area"] = "?"
    gaps.loc[1::7, "rooms"] = -999
    gaps.to_csv(folder / "gaps.csv", index=False)
    frame.assign(price=frame["price"].where(frame.index > 3)).to_csv(folder / "no-price.csv", index=False)
    frame.assign(split=["train", "val", "test"] * 20).to_csv(folder / "with-split.csv", index=False)
    draw = np.random.default_rng(1)
    iris = pd.DataFrame({"length": draw.normal(size=40), "species": ["setosa", "virginica"] * 20})
    iris.to_csv(folder / "iris.csv", index=False)
    tags = pd.DataFrame({"length": draw.normal(size=40), "tags": ["red;round", "red", "blue;round", "blue"] * 10})
    tags.to_csv(folder / "tags.csv", index=False)
    days = [f"{1 + k % 12:02}/{1 + k * 5 % 12:02}/2024" for k in range(40)]
    late = draw.integers(0, 2, 40)
    customers = [f"customer {k % 7}" for k in range(40)]
    orders = pd.DataFrame({"id": range(40), "day": days, "items": draw.integers(1, 9, 40), "customer": customers})
    orders.assign(late=late).to_csv(folder / "orders.csv", index=False)
    visits = pd.DataFrame({"patient": [f"p{k // 4}" for k in range(40)], "pulse": draw.normal(70, 9, 40), "ill": late})
    visits.to_csv(folder / "visits.csv", index=False)


def series(folder: Path) -> None:
    draw = np.random.default_rng(0)
    days = pd.date_range("2020-01-01", periods=300).strftime("%Y-%m-%d")
    frame = pd.DataFrame(
        {"date": days, "sales": draw.uniform(5, 9, 300).round(2), "holiday": np.arange(300) % 30 // 29}
    )
    frame.assign(visitors=draw.integers(10, 90, 300)).to_csv(folder / "sales.csv", index=False)
    frame[["date", "sales"]].drop(index=[100, 101]).to_csv(folder / "gappy.csv", index=False)
    stores = [frame[["date", "sales"]].assign(store=k, city=["Turin", "Ulm"][k % 2]) for k in range(6)]
    pd.concat(stores).to_csv(folder / "stores.csv", index=False)


def images(folder: Path) -> None:
    draw = np.random.default_rng(0)
    for name in ("cat", "dog"):
        for place in (f"photos/{name}", *(f"split-photos/{split}/{name}" for split in ("train", "val", "test"))):
            (folder / place).mkdir(parents=True)
            for k in range(8):
                Image.fromarray(draw.integers(0, 255, (12, 10, 3), dtype=np.uint8)).save(folder / place / f"{k}.png")
    rows = [(f"photos/{name}/{k}.png", name) for name in ("cat", "dog") for k in range(8)]
    pd.DataFrame(rows, columns=["file", "label"]).to_csv(folder / "labels.csv", index=False)
    plain = pd.DataFrame([(f"{name}/{k}", name) for name in ("cat", "dog") for k in range(8)], columns=["id", "label"])
    plain.to_csv(folder / "identifiers.csv", index=False)
    np.savez(folder / "arrays.npz", x=draw.integers(0, 255, (20, 12, 10), dtype=np.uint8), y=np.arange(20) % 2)
    import shutil

    shutil.make_archive(str(folder / "photos"), "zip", folder / "photos")


def texts(folder: Path) -> None:
    words = ["a", "plain", "and", "rather", "long", "film", "about", "the", "sea", "with", "no", "end", "in", "sight"]
    lines = [" ".join(words[k % 5 : 8 + k % 6]) + f" {k}" for k in range(40)]
    labels = ["good", "bad"] * 20
    pd.DataFrame({"text": lines, "label": labels}).to_csv(folder / "reviews.tsv", index=False, sep="\t")
    long = pd.DataFrame({"review": lines, "title": [f"on {line}" for line in lines], "stars": [1, 5] * 20})
    long.to_csv(folder / "long-reviews.csv", index=False)
    for name in ("good", "bad"):
        (folder / "reviews" / name).mkdir(parents=True)
        for k, line in enumerate(lines[:10]):
            (folder / "reviews" / name / f"{k}.txt").write_text(f"{line}, {name}\n")
    fast = [f"__label__{label} {line}\n" for label, line in zip(labels, lines, strict=True)]
    (folder / "fasttext.txt").write_text("".join(fast))
    (folder / "book.txt").write_text("\n".join(lines * 5) + "\n")
    for split in ("train", "valid", "test"):
        (folder / "wikitext").mkdir(exist_ok=True)
        (folder / "wikitext" / f"wiki.{split}.tokens").write_text("\n".join(lines) + "\n")
    (folder / "parallel").mkdir()
    for language in ("de", "en"):
        (folder / "parallel" / f"train.{language}").write_text("".join(f"{language} {line}\n" for line in lines))
    (folder / "pairs.tsv").write_text("".join(f"this is {line}\tdas ist {line}\n" for line in lines))
    pairs = pd.DataFrame({"de": [f"das ist {line}" for line in lines], "en": [f"this is {line}" for line in lines]})
    pairs.to_csv(folder / "pairs.csv", index=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make: Callable[[Path], None]
    for make in (tables, series, images, texts):
        make(tmp_path)
    return tmp_path


def test_the_commands_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) > 40
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, f"{command}: {capsys.readouterr().err}"
    written = pd.read_csv(folder / "prices.csv")
    assert len(written) == len(pd.read_parquet(folder / "prices.parquet")) == 60


def test_the_snippet_runs(folder: Path) -> None:
    (code,) = blocks("python")
    exec(code, {})
    assert (folder / "runs").is_dir()


def test_what_is_open_is_refused_with_the_option(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, option in (
        (["western.csv", "--target", "price"], "--encoding"),
        (["no-price.csv", "--target", "price"], "--skip-bad"),
    ):
        assert main(["data", *words]) in (1, 2)
        assert option in capsys.readouterr().err.replace("skip_bad", "--skip-bad")


def test_both_readings_of_an_open_number(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for option in ("--thousands", "--decimal"):
        assert main(["data", "open.csv", "--target", "price", option, ",", "--json", "--test", "0"]) == 0
        found.append(json.loads(capsys.readouterr().out)["target_range"]["train"]["price"][1])
    assert found[0] == pytest.approx(1000 * found[1], rel=0.2)
    assert found[0] > 9000


def test_the_page_names_every_option() -> None:
    fields = set(DataOptions.__dataclass_fields__) - ELSEWHERE
    assert {name for name in fields if f"--{name.replace('_', '-')}" not in PAGE} == set()
