"""A file of texts: prediction i is that of line i, whatever the lines hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import lamina
from lamina.cli.main import main
from lamina.errors import UsageError
from lamina.runs.run import Run
from sample_texts import write_reviews

GOOD, BAD = "A wonderful story, truly moving.", "The awful cast, at times boring."
LINES = ["", GOOD, "", "   ", BAD, "\t", GOOD, ""]
CLASSES = [None, "positive", None, None, "negative", None, "positive", None]


@pytest.fixture(scope="module")
def critic(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("critic")
    write_reviews(folder / "reviews.tsv")
    return lamina.train(
        "lstm-classifier", data=str(folder / "reviews.tsv"), epochs=4, batch_size=16, lr=0.01, directory=folder,
        report=False, model_options={"embedding_dim": 16, "hidden_size": 16},
    )  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_blank_lines_keep_their_rows(critic: Run, tmp_path: Path, end: str, mark: str) -> None:
    path = tmp_path / "new.txt"
    path.write_bytes((mark + "".join(line + end for line in LINES)).encode())
    found = critic.predict(path)
    assert [one["class"] for one in found] == CLASSES
    assert all(one.keys() == found[1].keys() for one in found)
    assert found[1]["probability"] == pytest.approx(critic.predict(GOOD)[0]["probability"])
    features = critic.embed(path)
    assert features.isnan().all(1).tolist() == [one is None for one in CLASSES]
    assert torch.allclose(features[[1, 6]], critic.embed(GOOD), atol=1e-6)


def test_many_blank_lines_and_a_lone_carriage_return(critic: Run, tmp_path: Path) -> None:
    path = tmp_path / "new.txt"
    path.write_bytes(b"\n" * 200 + f"{GOOD} {chr(13)} {GOOD}\n{BAD}".encode())
    found = [one["class"] for one in critic.predict(path)]
    assert found == [None] * 200 + ["positive", "negative"]


def test_a_file_of_nothing_is_refused(critic: Run, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("\n \n")
    with pytest.raises(lamina.DataError, match=r"new.txt' is empty"):
        critic.predict(tmp_path / "new.txt")


def test_translations_keep_their_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    translator = lamina.train(
        "seq2seq", data="dates", steps=1, limit=40, batch_size=8, directory=tmp_path, report=False,
        tokenizer="character", validation=0.001, test=0.001,
        model_options={"embedding_dim": 8, "hidden_size": 8, "num_layers": 1},
    )  # fmt: skip
    path = tmp_path / "new.txt"
    path.write_text("\n3 mars 2015\n\n\n4 mars 2015\n")
    found = [one["translation"] for one in translator.predict(path)]
    alone = [one["translation"] for one in translator.predict(["3 mars 2015", "4 mars 2015"])]
    assert found == [None, alone[0], None, None, alone[1]]
    capsys.readouterr()
    assert main(["predict", str(translator.path), str(path)]) == 0
    assert capsys.readouterr().out == f"\n{alone[0]}\n\n\n{alone[1]}\n"
    path.write_text("3 mars 2015\n\n\u6771\n")
    with pytest.raises(UsageError, match=r"^new.txt, line 3: .*\u6771"):
        translator.predict(path)


def test_on_the_command_line(critic: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "new.txt").write_text("\n".join(LINES) + "\n")
    capsys.readouterr()
    assert main(["predict", str(critic.path), str(tmp_path / "new.txt"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["item"].rsplit(maxsplit=1)[1], row["class"]) for row in rows] == [
        (str(number), name) for number, name in enumerate(CLASSES, 1)
    ]
    assert main(["predict", str(critic.path), str(tmp_path / "new.txt")]) == 0
    shown = capsys.readouterr().out.splitlines()[1:]
    assert [line.split(" row ")[1].split()[1] for line in shown] == [one or "-" for one in CLASSES]
