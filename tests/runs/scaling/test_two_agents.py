"""Several processes: under two agents of torchrun, and as forks. One run, equal to one process; one error; one line."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from scaled import cases, free_port

import lamina
from lamina.cli.main import main
from lamina.training.checkpoints import Checkpoints, load_checkpoint
from sample_texts import write_book
from waiting import CHILD_SECONDS, until

HERE = Path(__file__).parent
MACHINE = re.escape(socket.gethostname())


def write_data(folder: Path) -> None:
    write_book(folder / "book.txt", lines=60)
    draw = random.Random(0)
    rows = [f"{draw.random()},{draw.random()},{draw.choice('ab')}" for _ in range(80)]
    (folder / "table.csv").write_text("\n".join(["u,v,y", *rows]) + "\n")
    (folder / "other.csv").write_text("\n".join(["u,v,y", *rows[:-1], "0.5,0.5,a"]) + "\n")
    (folder / "pictures").mkdir()
    draws = np.random.default_rng(0)
    for i in range(16):
        Image.fromarray(draws.integers(0, 255, (16, 16)).astype("uint8")).save(folder / "pictures" / f"{i:02}.png")


@contextlib.contextmanager
def children(folder: Path, *commands: list[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes in sessions of their own, which are ended in any case; what they print is in FOLDER/agent<n>."""
    path = os.pathsep.join(filter(None, (str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    started = []
    for number, command in enumerate(commands):
        with open(folder / f"agent{number}", "wb") as out:
            started.append(
                subprocess.Popen(command, env=environment, cwd=HERE, stdout=out, stderr=out, start_new_session=True)
            )
    try:
        yield started
    finally:
        for child in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that two agents did, until one of them was killed."""
    folder = tmp_path_factory.mktemp("agents")
    write_data(folder)
    shared = ["--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    start = [sys.executable, "-m", "torch.distributed.run", *shared, "--node-rank"]
    script = [str(HERE / "agents_child.py"), str(folder)]
    checkpoints = Checkpoints(folder / "killed" / "windows" / "checkpoints")
    with children(folder, *([*start, str(node), *script] for node in range(2))) as agents:
        until(lambda: checkpoints.latest() or agents[0].poll() is not None, "a checkpoint of the last training")
        assert agents[0].poll() is None, (folder / "agent0").read_text()
        agents[1].kill()
        agents[0].wait(timeout=CHILD_SECONDS)
    return folder


@pytest.fixture(scope="module")
def ranks(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture(scope="module")
def forks(folder: Path) -> dict[str, Any]:
    """Everything that forks did, with the run of the killed agents among it."""
    with children(folder, [sys.executable, str(HERE / "forks_child.py"), str(folder)]) as (child,):
        child.wait(timeout=CHILD_SECONDS)
    assert child.returncode == 0, (folder / "agent0").read_text()
    found: dict[str, Any] = json.loads((folder / "forks.json").read_text())
    return found


def furthest(one: Path, other: Path) -> float:
    """The greatest difference between the weights of two runs."""
    a, b = (load_file(run / "model.safetensors") for run in (one, other))
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a)


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line.startswith("lamina: ")]


# ---------------------------------------------------------------- two agents


@pytest.mark.parametrize("case", ["images", "state", "table", "pairs"])
def test_two_agents_make_the_one_run_that_one_process_makes(case: str, folder: Path, tmp_path: Path) -> None:
    one = lamina.train(**cases(folder / "book.txt")[case], directory=tmp_path, name=case)
    assert furthest(one.path, folder / "two" / case) <= 1e-10
    two = lamina.open_run(folder / "two" / case)
    assert len(two.history) == 2
    for a, b in zip(one.history, two.history, strict=True):
        assert a == pytest.approx(b, rel=1e-6)  # means over batches are taken in fp32
    saved = two.directory.read("config.yaml")
    assert (saved["devices"], saved["num_nodes"]) == (1, 2)


def test_there_is_one_run_of_each(folder: Path, ranks: list[dict[str, Any]]) -> None:
    assert sorted(path.name for path in (folder / "two").iterdir()) == ["images", "pairs", "players", "state", "table"]
    assert not any(
        (folder / name).exists() and [*(folder / name).iterdir()] for name in ("none", "one", "two machines")
    )
    assert not [*folder.rglob("*.tmp")]


REFUSED = {
    "batch": (2, r"batch size 15 is not divisible by 2 processes"),
    "devices": (2, r"torchrun started 1 process on each of 2 machines, and --devices 2 contradicts it: leave it out"),
    "nodes": (2, r"torchrun started 1 process on each of 2 machines, and --num-nodes 3 contradicts it: leave it out"),
    "option": (2, r"rank 1 on {} has the option lr 0.5, rank 0 on {} has 0.002: all processes .* the same"),
    "model": (2, r"rank 1 on {} has the option model \{{'hidden': \[8\]\}}, rank 0 on {} has \{{\}}: .*"),
    "gone": (2, r"rank 1 on {}: .*gone\.csv.*"),
    "other": (2, r"rank 1 on {} has data with hash \w+ \(train .*\), rank 0 on {} has \w+ \(train .*\): all .*"),
    "folder": (1, r"rank 1 on {}: the run's folder .* is not that of rank 0 on {}: .* --runs"),
    "lamina": (2, r"rank 1 on {} has the version of lamina 0\.0\.9 \(code \w+\), rank 0 on {} has .*: all .*"),
    "code": (2, r"rank 1 on {} has the version of lamina \S+ \(code 0123456789ab\), rank 0 on {} has .*: all .*"),
    "torch": (2, r"rank 1 on {} has the version of torch 1\.13\.1, rank 0 on {} has \S+: all .*"),
    "python": (2, r"rank 1 on {} has the version of Python 3\.9\.1, rank 0 on {} has \S+: all .*"),
    "run": (2, r"rank 1 on {} has a run that is new, rank 0 on {} has resumed from step-\d+\.ckpt: all .*"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_on_one_machine_ends_both_with_one_error(case: str, ranks: list[dict[str, Any]]) -> None:
    code, pattern = REFUSED[case]
    for rank in ranks:
        status, text, shown = rank["refused"][case]
        assert status == code, text
        assert re.fullmatch(pattern.format(MACHINE, MACHINE), text), text
        assert "\n" not in text
        assert shown  # each is the first of its machine


def test_two_players_and_sizes_in_turn(ranks: list[dict[str, Any]]) -> None:
    one, other = (rank["players"] for rank in ranks)
    assert one == other
    assert one["samples"] == 40
    # a batch of 8 at 4 pixels, then of 4: 16 pictures at 8 pixels, the rest at 16
    assert one["phases"] == [[0, 8], [1, 12], [2, 28]]


def test_an_agent_that_is_killed_ends_the_other_with_one_line(folder: Path, ranks: list[dict[str, Any]]) -> None:
    said = lines(folder / "agent0")
    assert len(said) == 1, (folder / "agent0").read_text()
    kept = Checkpoints(folder / "killed" / "windows" / "checkpoints").paths()
    found = re.fullmatch(rf"lamina: .*rank 1 on {MACHINE}.*; the last checkpoint stands: (\S+); --resume .*", said[0])
    assert found is not None
    assert found[1] in map(str, kept)  # a step that was under way may end, and save, after the line


# ---------------------------------------------------------------- forks


def test_a_process_that_is_killed_ends_the_other_with_one_line(folder: Path, forks: dict[str, Any]) -> None:
    for case in ("images", "state"):
        assert forks[f"{case} killed"]["statuses"] == [1, -signal.SIGKILL]
        text = (folder / f"{case} killed" / "err0").read_text()
        expected = rf"lamina: rank 1 on {MACHINE} is gone: .*; the last checkpoint stands: \S+step-00000006.ckpt; .*\n"
        assert re.fullmatch(expected, text), text


@pytest.mark.parametrize(("case", "worlds"), [("images", (1, 2, 4)), ("windows", (1, 2, 4)), ("state", (2,))])
def test_a_killed_run_goes_on_on_another_number_of_processes(
    case: str, worlds: tuple[int, ...], folder: Path, forks: dict[str, Any], tmp_path: Path
) -> None:
    """As one process would have made it without a break; where a state is carried, on the same number."""
    steps, options = forks["steps"][case], cases(folder / "book.txt")[case]
    whole = lamina.train(**{**options, "epochs": None, "steps": steps}, directory=tmp_path, name="whole")
    for world in worlds:
        if world == 1:
            shutil.copytree(folder / "killed" / case, folder / "on1" / case)
            lamina.train(name=case, directory=folder / "on1", resume=True, steps=steps, devices=1, report=False)
        else:
            failed = {rank: (folder / f"{case} on {world}" / f"err{rank}").read_text() for rank in range(world)}
            assert forks[f"{case} on {world}"]["statuses"] == [0] * world, failed
        states = [newest(run) for run in (whole.path, folder / f"on{world}" / case)]
        assert states[0]["step"] == states[1]["step"] == steps
        for name, value in states[0]["models"]["model"].items():
            assert (value - states[1]["models"]["model"][name]).abs().max().item() <= 1e-10, (world, name)


def newest(run: Path) -> dict[str, Any]:
    latest = Checkpoints(run / "checkpoints").latest()
    assert latest is not None
    found: dict[str, Any] = load_checkpoint(latest)["engine"]
    return found


def test_a_carried_state_asks_for_the_same_number(
    folder: Path, forks: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--name", "state", "--runs", str(folder / "killed")]
    assert main(["train", "--resume", "--devices", "1", "--quiet", "--steps", "99", *where]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("lamina: 2 processes carried the state: resume with --devices 2")


def test_a_signal_to_one_process_stops_both_and_saves_what_they_carry(folder: Path, forks: dict[str, Any]) -> None:
    assert forks["stopped"]["statuses"] == [143, 143]
    text = "".join((folder / "stopped" / f"err{rank}").read_text() for rank in (0, 1))
    assert re.fullmatch(r"stopped at step 5; resume with: lamina train .*--resume.*\nreport: .*\n", text), text
    state = newest(folder / "killed" / "stopped")
    assert state["step"] == 5
    assert len(state["carried"]) == 2


def test_a_process_that_never_comes(folder: Path, forks: dict[str, Any]) -> None:
    assert forks["missing"]["statuses"] == [1]
    text = (folder / "missing" / "err0").read_text()
    assert re.fullmatch(
        r"lamina: the processes did not all meet at 127\.0\.0\.1, port \d+, within --timeout 2 .*\n", text
    )
    assert not (folder / "missing runs").exists()


def test_a_port_that_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        place = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        for name, value in place.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("TORCH_CPP_LOG_LEVEL", "FATAL")
        status = main(["train", "mlp", "--data", "iris", "--runs", str(tmp_path), "--timeout", "5"])
    said = capsys.readouterr().err
    assert status == 1
    assert re.search(rf"^lamina: port {port} of 127\.0\.0\.1 is taken by another program: .*MASTER_PORT$", said, re.M)
    assert not [*tmp_path.iterdir()]
    assert not torch.distributed.is_initialized()
