"""Nets divided among two processes: equal to one process, resumed to the bit, opened by one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import children
import pytest
import torch
from safetensors.torch import load_file
from sharding_child import CASES, STOP, interrupted, options
from toys import differences, leaves

import lamina
from lamina.cli.main import main
from lamina.errors import RunError, UsageError
from lamina.training.checkpoints import Checkpoints, load_checkpoint
from lamina.training.sharding.blocks import blocks_of
from sample_texts import write_book


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one process and of two."""
    folder = tmp_path_factory.mktemp("sharding")
    write_book(folder / "book.txt", lines=60)
    interrupted("gpt2", folder, 1, "begun by one")
    child = children.start("sharding_child.py", folder)
    for case in CASES:
        lamina.train(**options(case, folder, 1, f"{case}-one"))
    children.finish(child)
    return folder


def furthest(one: Any, other: Any) -> float:
    """The greatest difference of any number in two states."""
    left, right = dict(leaves(one)), dict(leaves(other))
    assert left.keys() == right.keys()
    pairs = [(x, right[place]) for place, x in left.items() if isinstance(x, torch.Tensor)]
    assert len(pairs) > 10
    return max((a.double() - b.double()).abs().max().item() for a, b in pairs)


@pytest.mark.parametrize("case", [case for case in CASES if case != "bf16"])
def test_two_processes_equal_one(folder: Path, case: str) -> None:
    one, two = (lamina.open_run(folder / f"{case}-{count}") for count in ("one", "two"))
    assert furthest(load_file(one.directory.weights), load_file(two.directory.weights)) <= 1e-10
    for a, b in zip(one.history, two.history, strict=True):
        assert a == pytest.approx(b, abs=1e-6)
    states = [load_checkpoint(run.directory.checkpoints.latest()) for run in (one, two)]  # type: ignore[arg-type]
    parts = ("models", "average", "averaged_updates")
    if one.config.recipe.optimizer != "rmsprop":  # its momentum is of gradients over their size, also of tiny ones
        parts = (*parts, "optimisers")
    ours, theirs = ({part: state["engine"][part] for part in parts} for state in states)
    assert furthest(ours, theirs) <= 1e-10


def test_mixed_precision(folder: Path) -> None:
    """As in one process, but for the rounding of other sums; the weights are kept in single precision."""
    one, two = (load_file(folder / f"bf16-{count}" / "model.safetensors") for count in ("one", "two"))
    assert furthest(one, two) <= 1e-3
    assert {weight.dtype for weight in two.values()} == {torch.float32}


def test_each_process_writes_its_part(folder: Path) -> None:
    """About half of all bytes: the rest is plain."""
    latest = Checkpoints(folder / "gpt2-two" / "checkpoints").latest()
    assert latest is not None
    shards = sorted(next(latest.parent.glob(f"{latest.stem}-*.shards")).iterdir())
    whole = Checkpoints(folder / "gpt2-one" / "checkpoints").latest()
    assert len(shards) == 2
    for shard in shards:
        assert 0.4 < shard.stat().st_size / whole.stat().st_size < 0.6  # type: ignore[union-attr]
    assert len(list(latest.parent.glob("*.shards"))) == len(list(latest.parent.glob("*.ckpt"))) == 2


def test_it_resumes_to_the_bit(folder: Path) -> None:
    whole, again = folder / "gpt2-two", folder / "stopped"
    assert (whole / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()
    assert (whole / "metrics.csv").read_bytes() == (again / "metrics.csv").read_bytes()
    states = [load_checkpoint(Checkpoints(run / "checkpoints").latest()) for run in (whole, again)]  # type: ignore[arg-type]
    assert differences(*states) == []


def test_one_process_resumes_what_two_began(folder: Path, tmp_path: Path) -> None:
    stopped = tmp_path / "run"
    shutil.copytree(folder / "for one process", stopped)
    latest = Checkpoints(stopped / "checkpoints").latest()
    assert latest is not None
    assert load_checkpoint(latest)["engine"]["step"] == STOP - 1  # no process alone saves its part
    run = lamina.train(**options("gpt2", folder, 1, "run") | {"directory": tmp_path}, resume=True)
    assert furthest(load_file(run.directory.weights), load_file(folder / "gpt2-one" / "model.safetensors")) <= 1e-10


def test_two_processes_resume_what_one_began(folder: Path) -> None:
    two, one = (load_file(folder / name / "model.safetensors") for name in ("begun by one", "gpt2-one"))
    assert furthest(one, two) <= 1e-10


def test_a_run_of_two_processes_opens_in_one(folder: Path) -> None:
    assert not torch.distributed.is_initialized()
    one, two = (lamina.open_run(folder / f"gpt2-{count}") for count in ("one", "two"))
    assert two.evaluate() == pytest.approx(one.evaluate(), abs=1e-9)
    assert two.generate("The cat", max_new_tokens=8, greedy=True) == one.generate(
        "The cat", max_new_tokens=8, greedy=True
    )
    assert (two.path / "samples.jsonl").read_text() == (one.path / "samples.jsonl").read_text()


def test_rows_that_do_not_divide(folder: Path) -> None:
    """A tensor of one row, of which the second process has none; several types; tensors in lists."""
    state = load_checkpoint(Checkpoints(folder / "odd").path(4))
    held = state["nested"][3]
    assert torch.equal(held["one row"], torch.arange(3.0)[None])
    assert torch.equal(held["five"], torch.arange(5, dtype=torch.float64))
    assert torch.equal(held["half"], torch.ones(4, 2, dtype=torch.bfloat16))
    assert torch.equal(state["list"][0], held["five"])
    assert state["list"][1] == 7
    assert torch.equal(state["nested"]["plain"], torch.ones(2))


def cut(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes()[:-9])


def flip(shard: Path) -> None:
    data = bytearray(shard.read_bytes())
    data[-3] ^= 1
    shard.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (Path.unlink, "a shard is missing: .*shard-00002.*; delete step-00000004.ckpt .* one before, step-00000003"),
        (cut, r"shard-00002\S* is cut off: it has [\d,]+ of [\d,]+ bytes"),
        (flip, r"shard-00002\S* is damaged \(wrong checksum\)"),
    ],
)
def test_a_damaged_shard_is_one_line(
    folder: Path, tmp_path: Path, damage: Any, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "for one process", tmp_path / "run")
    latest = Checkpoints(tmp_path / "run" / "checkpoints").latest()
    assert latest is not None
    damage(next(latest.parent.glob(f"{latest.stem}-*.shards/shard-00002-*")))
    with pytest.raises(RunError, match=words):
        load_checkpoint(latest)
    assert main(["train", "--resume", "--name", "run", "--runs", str(tmp_path), "--devices", "1"]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in said if "shard-" in line]) == 1
    latest.unlink()  # as the line says: the one before is whole
    before = Checkpoints(latest.parent)
    before.remove_temporaries()
    assert load_checkpoint(before.latest())["engine"]["step"] < STOP - 1  # type: ignore[arg-type]
    assert len(list(latest.parent.glob("*.shards"))) == 1


@pytest.mark.parametrize(
    ("model", "data", "given", "words"),
    [
        ("lenet5", "digits", {}, "lenet5 has no blocks: use --strategy ddp"),
        ("mlp", "iris", {}, "mlp has no blocks: use --strategy ddp"),
        ("gan", "digits", {}, "trains several players: use --strategy ddp"),
        ("resnet18", "digits", {"precision": "fp16"}, "fp16.*use bf16"),
        ("resnet18", "digits", {"compile": True}, "leave --compile out"),
    ],
)
def test_what_cannot_be_divided_is_refused(
    tmp_path: Path, model: str, data: str, given: dict[str, Any], words: str
) -> None:
    wanted = {"data": data, "epochs": 1, "strategy": "fsdp", **given}
    with pytest.raises(UsageError, match=words):
        lamina.prepare(model, wanted, directory=tmp_path, dry=True, fitted=False)
    assert list(tmp_path.iterdir()) == []


def test_one_process_says_that_it_has_the_whole_net(tmp_path: Path) -> None:
    small = {"widths": (4, 4, 8, 8), "stem": "small"}
    wanted = {"data": "digits", "epochs": 1, "strategy": "fsdp", "model": small}
    training = lamina.prepare("resnet18", wanted, directory=tmp_path, dry=True, fitted=False)
    assert any("--devices N divides it" in note for note in training.notes)


def test_blocks() -> None:
    with torch.device("meta"):
        for name, count in {"gpt2": 12, "resnet18": 8, "convnext-tiny": 18 + 2 * 3, "swin-tiny": 12 + 4}.items():
            assert len(blocks_of(lamina.create_model(name))) == count, name
    shared = torch.nn.Module()
    shared.blocks = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(3))
    shared.blocks[1].weight = shared.blocks[0].weight  # type: ignore[union-attr]
    assert blocks_of(shared) == [shared.blocks[2]]
