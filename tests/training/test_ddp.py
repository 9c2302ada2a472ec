"""Two processes: equal to one, equal to each other, and resumed bit for bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import children
import pytest
import torch
from ddp_child import classifier, pictures, wgan
from toys import differences, leaves, run, single

from lamina.errors import RunError
from lamina.training.checkpoints import Checkpoints, load_checkpoint
from lamina.training.loop import fit


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything two processes did, written by them."""
    folder = tmp_path_factory.mktemp("ddp")
    children.finish(children.start("ddp_child.py", folder))
    return folder


@pytest.fixture(scope="module")
def ranks(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize(
    ("make", "samples"),
    [(classifier, 50 * 2 * 16), (pictures, 50 * 16)],  # two batches accumulated to a step; one
)
def test_two_processes_equal_one(ranks: list[dict[str, Any]], make: Any, samples: int) -> None:
    """Fifty steps of SGD with momentum at the same global batch, augmented and averaged; clipped too."""
    made, name = make(single("32-true")), make.__name__
    start = {name: tensor.clone() for name, tensor in made.engine.raw["model"].state_dict().items()}
    list(fit(made.engine, made.streams))
    ours, average = made.engine.raw["model"].state_dict(), made.engine.average["model"]
    for rank in ranks:
        two = rank[name]
        assert two["step"] == made.engine.step == 50
        assert two["samples"] == made.engine.images_seen == samples  # over both processes
        assert furthest(ours, two["state"]["models"]["model"]) <= 1e-10
        assert furthest(average, two["state"]["average"]["model"]) <= 1e-10
    assert furthest(start, ours) > 0.1
    seen = [rank[name]["own"][-1]["loss"] for rank in ranks]
    assert seen[0] != seen[1]  # each saw its own half


def furthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The greatest difference anywhere."""
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)


@pytest.mark.parametrize("name", ["classifier", "vae", "wgan", "recall", "dcgan"])
def test_both_ranks_hold_the_same_weights(ranks: list[dict[str, Any]], name: str) -> None:
    """Also under methods other than forward, noise of each rank's own, and the gradient penalty's double backward."""
    one, other = (
        {
            place: value
            for place, value in leaves(rank[name]["state"])
            if "running" not in place and "tracked" not in place
        }
        for rank in ranks
    )
    shared = ("/models", "/optimisers", "/average")
    one, other = ({k: v for k, v in side.items() if k.startswith(shared)} for side in (one, other))
    assert len(one) > 8
    assert differences(one, other) == []
    own = [rank[name]["own"] for rank in ranks]
    assert all(a["loss"] != b["loss"] for a, b in zip(*own, strict=True))


@pytest.mark.parametrize("name", ["classifier", "vae", "wgan", "recall", "dcgan"])
def test_what_is_reported_is_the_mean_over_both_ranks(ranks: list[dict[str, Any]], name: str) -> None:
    one, other = (rank[name] for rank in ranks)
    assert one["steps"] == other["steps"]
    assert one["rows"] == other["rows"]
    for step, logs in one["steps"].items():
        a, b = (rank["own"][step - 1] for rank in (one, other))
        assert logs == pytest.approx({key: (a[key] + b[key]) / 2 for key in a}, rel=1e-12, abs=1e-300)


def test_running_statistics_are_joined_where_they_are_judged(ranks: list[dict[str, Any]]) -> None:
    """Means over both ranks, of the players and of the average, at the end of each of three epochs."""
    befores, afters = ([rank["joined"][part::2] for rank in ranks] for part in (0, 1))
    assert len(afters[0]) == 3
    for one, other, joined, same in zip(*befores, *afters, strict=True):
        assert len(joined) == 3 * 4 - 2  # two norms of the generator, twice, one of the discriminator
        for name, value in joined.items():
            assert torch.equal(value, same[name])
            torch.testing.assert_close(value, (one[name] + other[name]) / 2)
            assert not torch.equal(one[name], other[name]), name
    assert differences(*(dict(leaves(rank["dcgan"]["state"]["models"])) for rank in ranks)) == []


def test_two_processes_report_what_one_does(ranks: list[dict[str, Any]]) -> None:
    _, log = run(lambda: classifier(single("32-true")))
    for ours, theirs in zip(log.rows, ranks[0]["classifier"]["rows"], strict=True):
        assert theirs[3]["loss"] == pytest.approx(ours.train["loss"], abs=1e-10)
        assert theirs[3]["accuracy"] == pytest.approx(ours.train["accuracy"], abs=1e-6)


def test_they_learn(ranks: list[dict[str, Any]]) -> None:
    for name, share in (("classifier", 0.7), ("vae", 0.8)):
        rows = ranks[0][name]["rows"]
        assert rows[-1][3]["loss"] < share * rows[0][3]["loss"], name
    noise = [rank["vae"]["own"][0]["noise"] for rank in ranks]
    assert noise[0] != noise[1]
    bias = wgan(single("32-true")).engine.raw["generator"].bias.item()
    assert abs(ranks[0]["wgan"]["state"]["models"]["generator"]["bias"].item() - bias) > 0.01


@pytest.mark.parametrize(
    ("name", "stop", "saved"),
    [
        ("classifier", 23, [20, 23]),  # 6 updates an epoch; closing saves
        ("vae", 33, [32, 33]),
        ("wgan", 6, [2, 4]),  # the task has a state on each rank: closing cannot collect it, the last checkpoint stands
        ("recall", 10, [6, 8]),  # and so with a carry
        ("dcgan", 6, [4, 5]),  # and so with running statistics of its own, which saving joins
    ],
)
def test_a_fit_of_two_processes_resumes_bit_for_bit(
    ranks: list[dict[str, Any]], name: str, stop: int, saved: list[int]
) -> None:
    for rank in ranks:
        whole, again = rank[name], rank[f"{name} resumed"]
        assert again["step"] == whole["step"] > stop
        assert differences(whole["state"], again["state"]) == []
        assert again["saved"][-1] == f"step-{saved[-1]:08d}.ckpt"
        assert again["rows"] == whole["rows"][-len(again["rows"]) :]
        assert again["steps"] == {n: logs for n, logs in whole["steps"].items() if n in again["steps"]}


def test_a_checkpoint_holds_what_every_rank_carries(ranks: list[dict[str, Any]], folder: Path) -> None:
    newest = Checkpoints(folder / "recall").latest()
    assert newest is not None
    carried = load_checkpoint(newest)["engine"]["carried"]
    assert len(carried) == 2
    assert not torch.equal(carried[0]["carry"][0], carried[1]["carry"][0])
    for rank, mine in zip(ranks, carried, strict=True):
        assert differences(rank["recall resumed"]["state"]["carry"], mine["carry"]) == []


def test_one_process_does_not_resume_what_two_carried(folder: Path) -> None:
    made = wgan(single("32-true"), epochs=9)
    with pytest.raises(RunError, match="2 processes carried the state: resume with --devices 2"):
        next(fit(made.engine, made.streams, checkpoints=Checkpoints(folder / "wgan"), resume=True))


def test_one_process_may_resume_what_two_began(tmp_path: Path, folder: Path, ranks: list[dict[str, Any]]) -> None:
    """Where nothing is carried the position is the same for any number of processes."""
    shutil.copy(folder / "classifier" / "step-00000048.ckpt", tmp_path)
    made = classifier(single("32-true"))
    list(fit(made.engine, made.streams, checkpoints=Checkpoints(tmp_path), resume=True))
    ours, theirs = made.engine.raw["model"].state_dict(), ranks[0]["classifier"]["state"]["models"]["model"]
    assert furthest(ours, theirs) <= 1e-10


def test_all_ranks_come_to_the_first_ones_verdict(ranks: list[dict[str, Any]]) -> None:
    """The second rank's metric falls all the time: alone it would have lost patience."""
    rows = [[row[:3] for row in rank["judged"]["rows"]] for rank in ranks]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 9
    assert all(best for _, best, _ in rows[0])
