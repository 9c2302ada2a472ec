"""A model of two players from another package: trained, opened again, in mixed precision, refused where it must be."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toy_package import GAN, Adversarial, GANConfig

import lamina
from lamina.errors import UsageError
from lamina.runs.training import Training, prepare
from lamina.runs.views.export import export_variant

pytestmark = pytest.mark.usefixtures("toys")
STEPS, BATCH = 4, 16


def train(folder: Path, **options: object) -> Training:
    asked = {"data": "digits", "steps": STEPS, "batch_size": BATCH, "ema": 0.9, "lr": 0.01, **options}
    training = prepare("toy-gan", asked, directory=folder)
    with closing(training.events()) as events:
        for _ in events:
            pass
    return training


def test_each_player_steps_at_its_own_rhythm_and_rate(tmp_path: Path) -> None:
    engine = train(tmp_path, schedule="constant", warmup=0.0).engine
    steps = {
        player: {int(state["step"]) for state in optimiser.optimizer.state.values()}
        for player, optimiser in engine.optimisers.items()
    }
    assert steps == {"generator": {STEPS}, "critic": {3 * STEPS}}
    assert engine.images_seen == 3 * STEPS * BATCH
    groups = {player: optimiser.param_groups[0] for player, optimiser in engine.optimisers.items()}
    assert {player: group["lr"] for player, group in groups.items()} == {"generator": 0.005, "critic": 0.01}
    assert {player: group["betas"][0] for player, group in groups.items()} == {"generator": 0.0, "critic": 0.9}


def test_the_run_keeps_the_average_of_one_player_and_the_other_itself(tmp_path: Path) -> None:
    training = train(tmp_path)
    saved, engine = load_file(training.directory.weights), training.engine
    assert list(engine.average) == ["generator"]
    assert engine.averaged_updates == {"generator": STEPS}
    for name, value in engine.average["generator"].items():
        assert torch.equal(saved[f"generator.{name}"], value)
        assert not torch.equal(engine.raw["generator"].state_dict()[name], value)
    for name, value in engine.raw["critic"].state_dict().items():
        assert torch.equal(saved[f"critic.{name}"], value)


def test_the_run_opens_evaluates_predicts_and_reports(tmp_path: Path) -> None:
    run = lamina.train("toy-gan", data="digits", steps=STEPS, batch_size=BATCH, directory=tmp_path)
    again = lamina.open_run(run.path)
    assert again.evaluate() == run.evaluate()
    assert run.verbs == ("evaluate", "predict", "inspect", "report", "export")
    pictures = [again.predict(torch.zeros(8, 8))[0]["picture"] for _ in range(2)]
    assert torch.tensor(pictures[0]).shape == (1, 8, 8)
    assert pictures[0] == pictures[1]  # its noise follows from the run's seed
    assert "toy-adversarial" in (run.path / "report.html").read_text()
    for player, shape in ((None, (5, 1, 8, 8)), ("critic", (5, 1))):
        exported = again.export("torch", tmp_path / "toy.pt2", player=player)
        assert (
            tuple(torch.export.load(exported.path).module()(torch.zeros(5, *exported.facts.inputs[0].shape)).shape)
            == shape
        )
    with pytest.raises(UsageError, match="unknown player of toy-gan 'critc'; did you mean 'critic'"):
        export_variant("toy-gan", "onnx", player="critc")


def test_the_penalty_is_taken_in_float32_under_bf16(tmp_path: Path) -> None:
    """``torch.autograd.grad`` refuses the output of a player under Fabric's wrapper: the plain one has none."""
    task = Adversarial()
    run = lamina.train(
        GAN(GANConfig()), data="digits", task=task, steps=STEPS, batch_size=BATCH, precision="bf16", directory=tmp_path,
        report=False,
    )  # fmt: skip
    assert task.penalty_dtypes == {torch.float32}
    assert all(math.isfinite(value) for row in run.history for value in row.values())
    plain = lamina.train(
        GAN(GANConfig()), data="digits", task=Adversarial(), steps=STEPS, batch_size=BATCH, directory=tmp_path,
        report=False,
    )  # fmt: skip
    assert run.history[0]["train_loss"] != plain.history[0]["train_loss"]
    assert run.history[0]["train_penalty"] == pytest.approx(plain.history[0]["train_penalty"], rel=0.1)
    assert lamina.open_run(run.path, model=GAN(GANConfig()), task=Adversarial()).evaluate() == run.evaluate()
