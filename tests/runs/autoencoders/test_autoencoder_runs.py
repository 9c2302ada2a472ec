"""Autoencoders through the one door: trained on digits, pictures and rows without targets, resumed, evaluated."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kill_child import differences
from pictures import write_data, write_pictures, write_rows
from torch import nn

import lamina
from lamina.errors import DataError, UsageError
from lamina.runs.training import prepare
from lamina.training.events import StepDone

KINDS = ["digits", "pictures", "rows"]
QUICK: dict[str, Any] = {"epochs": 3, "batch_size": 8, "lr": 0.005}
SMALL = {
    "vae": {"hidden": (24,), "latent": 4},
    "autoencoder": {"hidden": (24,), "latent": 3},
    "denoising-autoencoder": {"hidden": (24,), "latent": 8},
    "autoencoder-lstm": {"hidden_size": 8, "latent": 3},
    "autoencoder-conv": {"image_size": 8, "widths": (4, 8), "latent": 4},
    "vae-conv": {"image_size": 8, "widths": (4, 8), "latent": 4},
}


def train(model: str, kind: str, folder: Path, **options: Any) -> lamina.Run:
    data = write_data(kind, folder) if "data" not in options else options.pop("data")
    given = {**QUICK, "limit": 40 if kind == "digits" else None, "report": False, "directory": folder, **options}
    return lamina.train(model, data=data, model_options=SMALL[model], **given)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", ["vae", "denoising-autoencoder", "autoencoder-lstm"])
def test_they_learn_and_open_again(model: str, kind: str, tmp_path: Path) -> None:
    run = train(model, kind, tmp_path, epochs=12)
    first, last = (run.history[i]["validation_loss"] for i in (0, -1))
    assert last < first
    found = run.evaluate()
    again = lamina.open_run(run.path)
    assert again.evaluate() == found == run.evaluate()
    assert "evaluate" in again.verbs
    if model == "vae":
        assert found["elbo"] == pytest.approx(-found["reconstruction"] - found["kl"])
        assert found["iw_bound"] >= found["elbo"] - 0.05
        assert run.evaluate(importance_samples=0).keys() == {"loss", "elbo", "reconstruction", "kl"}
    else:
        assert found["mse"] > 0


@pytest.mark.parametrize("model", ["autoencoder-conv", "vae-conv"])
def test_convolutional_ones_learn(model: str, tmp_path: Path) -> None:
    run = train(model, "pictures", tmp_path, epochs=12)
    assert run.history[-1]["validation_loss"] < run.history[0]["validation_loss"]
    assert run.preprocess.signature()[0].bounds == (0.0, 1.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("model", ["vae", "denoising-autoencoder"])
def test_they_resume_to_the_bit(model: str, kind: str, tmp_path: Path) -> None:
    data = write_data(kind, tmp_path)
    options = {**QUICK, "data": data, "checkpoint_every": 2, "limit": 40 if kind == "digits" else None}
    whole = lamina.train(model, name="whole", directory=tmp_path, report=False, model_options=SMALL[model], **options)
    training = prepare(model, {**options, "model": SMALL[model]}, name="parts", directory=tmp_path)
    with closing(training.events()) as events:
        list(islice((event for event in events if isinstance(event, StepDone)), 7))
    parts = lamina.train(model, name="parts", directory=tmp_path, report=False, resume=True)
    assert differences(whole.path, parts.path) == []


def test_targets_never_reach_the_loss(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 6, 6), dtype=np.uint8)
    weights = []
    for name, labels in (("one", np.arange(60) % 3), ("two", (np.arange(60) // 2) % 3), ("none", None)):
        arrays = {"x_train": images, "x_validation": images[:9]}
        if labels is not None:
            arrays |= {"y_train": labels, "y_validation": labels[:9]}
        np.savez(tmp_path / f"{name}.npz", **arrays)  # type: ignore[arg-type]
        run = train("vae", "", tmp_path, data=str(tmp_path / f"{name}.npz"), name=name, test=0.0)
        assert ("target" in next(iter(run.batches("train")))) == (labels is not None)
        weights.append(run.model.state_dict())
    for other in weights[1:]:
        assert all(torch.equal(value, other[name]) for name, value in weights[0].items())


def test_a_variance_that_is_learned_is_an_objective(tmp_path: Path) -> None:
    for likelihood, variance in (("gaussian", "none"), ("gaussian-shared", "shared"), ("gaussian-learned", "each")):
        run = (
            train("vae", "pictures", tmp_path / likelihood, objective={"likelihood": likelihood})
            if (tmp_path / likelihood).mkdir() is None
            else None
        )
        assert run is not None
        assert run.model.config.variance == variance
        assert lamina.open_run(run.path).evaluate(importance_samples=0) == run.evaluate(importance_samples=0)
    rows = train("vae", "rows", tmp_path)
    assert rows.model.config.variance == "shared"  # auto, for values without bounds


def test_encoders_from_the_registry(tmp_path: Path) -> None:
    run = lamina.train(
        "vae", data="breast-cancer", directory=tmp_path, report=False, model_options={"encoder": "mlp"}, **QUICK
    )
    assert type(run.model.encoder.model).__name__ == "MLP"
    assert run.embed().shape == (114, 40)
    assert lamina.open_run(run.path).evaluate(importance_samples=0) == run.evaluate(importance_samples=0)


class Copy(nn.Module):
    """The input again, by one matrix."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.map = nn.Linear(features, features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.map(x.flatten(1)).reshape(x.shape)


def test_a_module_of_your_own_is_an_autoencoder_when_asked(tmp_path: Path) -> None:
    pictures = str(write_pictures(tmp_path / "pictures"))
    given: dict[str, Any] = {"data": pictures, "directory": tmp_path, "report": False, **QUICK}
    run = lamina.train(Copy(64), task="autoencoding", **given)
    assert run.history[-1]["validation_loss"] < run.history[0]["validation_loss"]
    with pytest.raises(UsageError, match="has no targets"):
        lamina.train(Copy(64), **given)
    with pytest.raises(UsageError, match=r"gives \(8, 10\) for inputs of \(8, 1, 8, 8\)"):
        lamina.train(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), task="autoencoding", **given)
    with pytest.raises(UsageError, match="method 'decode'"):
        lamina.train(Copy(64), task="variational", **given)


def test_what_does_not_fit_is_refused_before_training(tmp_path: Path) -> None:
    rows, pictures = write_rows(tmp_path / "rows.csv"), write_pictures(tmp_path / "pictures")
    given: dict[str, Any] = {"directory": tmp_path / "runs", **QUICK}

    def refused(model: str, data: Any, reason: str, **options: Any) -> None:
        with pytest.raises(UsageError, match=reason):
            lamina.train(model, data=str(data), **given, **options)

    bernoulli = {"likelihood": "bernoulli"}
    refused("vae", rows, "have no bounds: use --objective.likelihood gaussian", objective=bernoulli)
    refused(
        "vae", pictures, r"lie between -1 and 1: use --normalisation unit", objective=bernoulli, normalisation="half"
    )
    refused("autoencoder", rows, "have no bounds", objective=bernoulli)
    refused(
        "autoencoder", rows, "salt-and-pepper .* use masking or gaussian", objective={"corruption": "salt-and-pepper"}
    )
    refused("vae", pictures, "variance=each does not fit the objective 'elbo'", model_options={"variance": "each"})
    refused("vae", rows, "binarise is for images", binarise="once")
    refused("autoencoder-lstm", rows, "steps=3: 5 features", model_options={"steps": 3})
    refused("autoencoder-lstm", rows, "a series of 5 values is shorter", model_options={"steps": 9})
    refused("vae", "python-docs", "vae takes table or image data")
    assert not (tmp_path / "runs").exists()


def test_pictures_that_the_likelihood_is_not_for(tmp_path: Path) -> None:
    run = train("vae", "pictures", tmp_path)
    np.savez(tmp_path / "wide.npz", x=np.random.default_rng(0).normal(size=(9, 8, 8)).astype(np.float32))
    with pytest.raises(DataError, match="trained on images stored as uint8"):
        run.evaluate(data=str(tmp_path / "wide.npz"))
    floats = np.random.default_rng(0).uniform(-1, 1, (40, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "floats.npz", x=floats)
    run = train("vae", "", tmp_path, data=str(tmp_path / "floats.npz"), name="floats")
    assert run.preprocess.signature()[0].bounds == (0.0, 1.0)  # -1 to 1 is brought to 0 to 1
    assert len(run.predict(floats[0], threshold=100.0)) == 1
    with pytest.raises(DataError, match="Bernoulli likelihood is for values from 0 to 1"):
        run.predict(3 * floats[0], threshold=100.0)


def test_a_code_that_can_copy_is_noted(tmp_path: Path) -> None:
    rows = str(write_rows(tmp_path / "rows.csv"))
    for latent, objective, noted in ((5, None, True), (4, None, False), (5, "denoising", False)):
        asked = {"data": rows, "model": {"latent": latent}, "objective": objective}
        training = prepare("autoencoder", asked, directory=tmp_path, name=f"{latent}-{objective}")
        assert any("can copy" in note for note in training.notes) == noted
