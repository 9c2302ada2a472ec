"""Running statistics of batch norm after few steps: measured anew, as torch's own ``update_bn`` does, before weights
are judged and saved; training itself goes on as if they had not been."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from kill_child import differences
from safetensors.torch import load_file
from test_runs_ddp import train_with_two
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

import lamina
from lamina.runs.training import Training, prepare
from lamina.tasks.base import Batch, Task
from lamina.training.checkpoints import load_checkpoint

BATCH_NORM = {"hidden": (16,), "norm": "batch"}
ASKED: dict[str, Any] = {"data": "iris", "batch_size": 20, "lr": 0.02, "validation": 0.2}


def slow(momentum: float | None = 0.01, norm: type[nn.Module] = nn.BatchNorm1d) -> nn.Module:
    """Its statistics would be those of the beginning for hundreds of steps."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(4, 32), norm(32, momentum=momentum, track_running_stats=True), nn.ReLU(),
        nn.Linear(32, 32), norm(32, momentum=momentum, track_running_stats=True), nn.ReLU(), nn.Linear(32, 3),
    )  # fmt: skip
    for layer in (net[0], net[3]):  # far from mean 0 and variance 1
        nn.init.normal_(layer.bias, std=5.0)
    return net


def trained(folder: Path, model: nn.Module | str = "mlp", **more: Any) -> Training:
    options = {**ASKED, **more} if isinstance(model, nn.Module) else {**ASKED, "model": BATCH_NORM, **more}
    training = prepare(model, options, directory=folder, name="run")
    with closing(training.events()) as events:
        list(events)
    return training


def statistics(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if "running" in name}


def own_statistics(training: Training) -> dict[str, Tensor]:
    """Those of training, in the latest checkpoint."""
    path = training.directory.checkpoints.latest()
    assert path is not None
    return statistics(load_checkpoint(path)["engine"]["models"]["model"])


def as_torch_measures(training: Training) -> dict[str, Tensor]:
    """``update_bn`` on the saved weights, with the batches of the first epoch as they are without augmentation."""
    model = training.run.model
    (stream,) = training._as_judged.values()
    update_bn((training.parts.preprocess.call(batch)[0][0] for batch in stream.batches(0)), model)
    model.eval()
    return statistics(model.state_dict())


@pytest.mark.parametrize("momentum", [0.01, 0.001, None])
def test_a_short_training_is_judged_by_what_it_learnt(tmp_path: Path, momentum: float | None) -> None:
    training = trained(tmp_path, slow(momentum), epochs=6)
    last, best = training.run.history[-1], max(row["validation_accuracy"] for row in training.run.history)
    assert last["train_accuracy"] > 0.85
    assert last["validation_accuracy"] > 0.85
    judged = training.run.evaluate("validation")
    assert judged["accuracy"] == pytest.approx(best)  # what is saved is what was judged
    saved = statistics(load_file(training.directory.weights))
    for name, value in as_torch_measures(training).items():
        torch.testing.assert_close(saved[name], value, rtol=1e-4, atol=1e-5)
    if momentum is not None:  # without the measurement the same weights know nothing
        run = training.run
        run.model.load_state_dict({**run.model.state_dict(), **own_statistics(training)})
        assert run.measure("validation")["accuracy"] < 0.75
    assert [note for note in training.notes if "running statistics" in note]


def test_instance_norms_with_running_statistics_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    norm = nn.InstanceNorm2d(8, momentum=0.001, track_running_stats=True)
    net = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), norm, nn.ReLU(), nn.Flatten(), nn.Linear(72, 10))
    training = trained(tmp_path, net, data="digits", limit=300, batch_size=50, epochs=3)
    saved, model = statistics(load_file(training.directory.weights)), training.run.model
    (stream,) = training._as_judged.values()
    with torch.no_grad():
        seen = torch.cat([model[0](batch["image"]).flatten(2) for batch in stream.batches(0)])
    torch.testing.assert_close(saved["1.running_mean"], seen.mean(2).mean(0))
    torch.testing.assert_close(saved["1.running_var"], seen.var(2).mean(0))


def test_they_are_of_the_training_data_without_augmentation(tmp_path: Path) -> None:
    """Of all of them: batches of 60 of 300 digits leave none out."""
    augmented = {"shift": 3, "mixup": 0.5, "erasing": 1.0}
    training = trained(tmp_path, data="digits", limit=300, batch_size=60, epochs=2, **augmented)
    run = training.run
    saved = load_file(run.directory.weights)
    first = next(module for module in run.model.modules() if isinstance(module, nn.Linear))
    images = torch.cat([batch["image"] for batch in run.batches("train")])
    with torch.no_grad():
        mean = first(images.flatten(1)).mean(0)
    norm = next(name for name in saved if "running_mean" in name)
    torch.testing.assert_close(saved[norm], mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_training_goes_on_as_if_they_had_not_been_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ema: float
) -> None:
    measured = trained(tmp_path / "measured", epochs=4, ema=ema)
    monkeypatch.setattr("lamina.training.engine.Engine.measure_statistics", lambda *_: None)
    plain = trained(tmp_path / "plain", epochs=4, ema=ema)
    states = []
    for training in (measured, plain):
        path = training.directory.checkpoints.latest()
        assert path is not None
        states.append(load_checkpoint(path)["engine"])
    for part in ("models", "optimisers", "average"):
        assert str(states[0][part]) == str(states[1][part])
    for name, value in states[0]["models"]["model"].items():
        assert torch.equal(value, states[1]["models"]["model"][name]), name


def test_those_of_averaged_weights_are_their_own(tmp_path: Path) -> None:
    training = trained(tmp_path, epochs=5, ema=0.9)
    saved = statistics(load_file(training.directory.weights))
    for name, value in as_torch_measures(training).items():
        torch.testing.assert_close(saved[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("momentum", "batch_size", "settles"), [(1.0, 10, True), (0.9, 8, True), (0.5, 10, False)])
def test_settled_ones_are_left_alone(tmp_path: Path, momentum: float, batch_size: int, settles: bool) -> None:
    """A window of one batch: ten are enough, and an epoch of 105 rows has as many."""
    training = trained(tmp_path, slow(momentum), epochs=1, batch_size=batch_size, validation=0.1, test=0.2)
    saved, own = statistics(load_file(training.directory.weights)), own_statistics(training)
    assert all(torch.equal(saved[name], own[name]) for name in own) == settles
    assert (not [note for note in training.notes if "running statistics" in note]) == settles


def test_a_frozen_norm_keeps_its_statistics(tmp_path: Path) -> None:
    training = trained(tmp_path, slow(), epochs=2, freeze=("1",))
    saved = load_file(training.directory.weights)
    assert saved["1.running_mean"].eq(0).all()
    assert saved["1.running_var"].eq(1).all()
    assert saved["4.running_mean"].ne(0).any()


def test_it_resumes_to_the_bit(tmp_path: Path) -> None:
    """From weights whose norms have counted the batches of another training; and streamed data are those held."""
    first = trained(tmp_path / "first", epochs=20)
    begin: dict[str, Any] = {"weights": str(first.directory.path), "epochs": 4, "ema": 0.5}
    whole = trained(tmp_path / "whole", **begin)
    torch.testing.assert_close(*(next(iter(of.values())) for of in (as_torch_measures(whole), _saved(whole))))
    parts = prepare("mlp", {**ASKED, "model": BATCH_NORM, **begin}, directory=tmp_path / "parts", name="run")
    with closing(parts.events()) as events:
        for event in events:
            if getattr(event, "step", 0) == 9:
                break
    lamina.train("mlp", data="iris", name="run", directory=tmp_path / "parts", resume=True, report=False)
    assert differences(whole.directory.path, parts.directory.path) == []
    streamed = trained(tmp_path / "streamed", **begin, memory="stream")
    assert streamed.directory.weights.read_bytes() == whole.directory.weights.read_bytes()


def _saved(training: Training) -> dict[str, Tensor]:
    return statistics(load_file(training.directory.weights))


class Players(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.generator = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, momentum=0.001), nn.Linear(8, 4))
        self.critic = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, momentum=0.001), nn.Linear(8, 1))


class Duel(Task):
    """Only ``update``; the noise of evaluation is made from the data."""

    players = ("generator", "critic")
    average = ("generator",)

    def update(self, batches: Any, engine: Any) -> dict[str, Tensor]:
        x = next(batches)["features"]
        generator, critic = engine.models["generator"], engine.models["critic"]
        loss = critic(generator(x.flip(0)).detach()).mean() - critic(x).mean()
        engine.optimise(loss, "critic")
        with engine.frozen("critic"):
            engine.optimise(-critic(generator(x.flip(0))).mean(), "generator")
        return {"loss": loss.detach()}


class JudgedDuel(Duel):
    def metrics(self) -> Any:
        from torchmetrics import MeanMetric, MetricCollection

        return MetricCollection({"level": MeanMetric()})

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        metrics["level"].update(model.critic(model.generator(batch["features"])).mean())


def test_players_have_theirs_of_what_evaluation_shows_them(tmp_path: Path) -> None:
    options: dict[str, Any] = {**ASKED, "epochs": 3, "ema": 0.9}
    training = prepare(Players(), options, directory=tmp_path, name="run", task=JudgedDuel())
    with closing(training.events()) as events:
        list(events)
    model = training.run.model
    update_bn((batch["features"] for batch in training._as_judged["train"].batches(0)), _chain(model))
    saved = statistics(load_file(training.directory.weights))
    for name, value in statistics(model.state_dict()).items():
        torch.testing.assert_close(saved[name], value, rtol=1e-4, atol=1e-5)
    assert saved["generator.1.running_mean"].abs().max() > 0.01


def _chain(model: Any) -> nn.Module:
    return nn.Sequential(model.generator, model.critic)


def test_a_task_that_does_not_say_how_it_calls_its_model_is_told(tmp_path: Path) -> None:
    options: dict[str, Any] = {**ASKED, "epochs": 1, "validation": 0.0}
    training = prepare(Players(), options, directory=tmp_path, name="run", task=Duel())
    with closing(training.events()) as events:
        list(events)
    assert [note for note in training.notes if "neither evaluate_step nor loss" in note]


class LossAlone(Task):
    calls = 0

    def loss(self, model: nn.Module, batch: Batch, engine: Any) -> tuple[Tensor, dict[str, Tensor]]:
        LossAlone.calls += not torch.is_grad_enabled()
        return nn.functional.cross_entropy(model(batch["features"]), batch["target"]), {}


def test_without_validation_the_saved_weights_have_them_and_the_batches_are_bounded(tmp_path: Path) -> None:
    options: dict[str, Any] = {**ASKED, "epochs": 1, "validation": 0.0, "test": 0.0, "batch_size": 1, "ema": 0.9}
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.Unflatten(1, (2, 4)), nn.BatchNorm1d(2), nn.Flatten(), nn.Linear(8, 3))
    training = prepare(net, options, directory=tmp_path, name="r", task=LossAlone())
    with closing(training.events()) as events:
        list(events)
    assert training.engine.step == 150
    assert LossAlone.calls == 100
    own, saved = own_statistics(training), _saved(training)
    assert not torch.equal(own["2.running_mean"], saved["2.running_mean"])


def test_two_processes_measure_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each on its half of a batch: what is saved is the mean over both, and both judge by it."""
    words = ["mlp", "--data", "iris", "--epochs", "2", "--batch-size", "18", "--model.norm", "batch"]
    monkeypatch.setitem(__import__("test_runs_ddp").ASKED, "norm", [*words, "--test", "0.2", "--validation", "0.2"])
    (tmp_path / "package").mkdir()
    train_with_two(tmp_path, "norm")
    run = lamina.open_run(tmp_path / "2" / "run")
    best = next(row for row in reversed(run.history) if row["best"])
    for name, value in run.evaluate("validation").items():
        assert value == pytest.approx(best[f"validation_{name}"], abs=1e-6), name
    first = next(module for module in run.model.modules() if isinstance(module, nn.Linear))
    features = torch.cat([batch["features"] for batch in run.batches("train")]).double()  # 90 rows, five batches
    saved = next(value for name, value in load_file(run.directory.weights).items() if "running_mean" in name)
    with torch.no_grad():
        torch.testing.assert_close(saved, first(features).mean(0))
