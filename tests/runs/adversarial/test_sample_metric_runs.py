"""Metrics of generated samples: names that say what they were measured with, refusals, toy data, autoencoders."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lamina
from lamina.cli.main import main
from lamina.errors import UsageError
from lamina.runs.weights import digest
from lamina.tasks.sample_metrics.scores import frechet_distance, recognised

NET: dict[str, Any] = {"generator_widths": (8, 6), "discriminator_widths": (6, 8), "latent": 5}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of digits of 32 features, and a generator of 16 x 16 pixels that has hardly learnt anything."""
    folder = tmp_path_factory.mktemp("metric-networks")
    lamina.train(
        "mlp",
        data="digits",
        epochs=8,
        lr=0.01,
        directory=folder,
        name="judge",
        report=False,
        model_options={"hidden": (32,)},
    )
    lamina.train("dcgan-16", data="digits", steps=20, directory=folder, name="gan", report=False, model_options=NET)
    return folder


def test_metrics_are_named_after_what_they_were_measured_with(runs: Path) -> None:
    gan, judge = lamina.open_run(runs / "gan"), lamina.open_run(runs / "judge")
    plain = gan.evaluate()
    found = gan.evaluate(metric_network="judge", metric_samples=200)
    mark = digest(judge.directory.weights, judge.path / "preprocess.json")[:4]
    protocol = f"[judge@{mark}, resize 8, n=200]"
    names = ("FID", "KID", "precision", "recall", "recognised", "rarest_class")
    assert list(found) == [*plain, *(f"{name}{protocol}" for name in names), *(f"real_{n}{protocol}" for n in names)]
    assert {name: found[name] for name in plain} == plain
    assert found[f"FID{protocol}"] > 5 * found[f"real_FID{protocol}"]
    assert found[f"real_recognised{protocol}"] > 0.5
    assert found == gan.evaluate(metric_network=str(runs / "judge"), metric_samples=200)

    # the generated samples as a user would judge them
    made = gan.generate(count=200, seed=gan.config.recipe.seed)
    predictions = judge.predict(*made)
    probabilities = torch.tensor([[one["probabilities"][name] for name in judge.classes] for one in predictions])
    assert (found[f"recognised{protocol}"], found[f"rarest_class{protocol}"]) == recognised(probabilities)
    hidden = judge.embed(*made).double()
    away = frechet_distance(hidden, hidden + 1)
    assert away == pytest.approx(32, rel=1e-4)


def test_other_weights_have_another_name(runs: Path, tmp_path: Path) -> None:
    lamina.train(
        "mlp", data="digits", epochs=1, seed=1, directory=tmp_path, name="judge", report=False,
        model_options={"hidden": (32,)},
    )  # fmt: skip
    gan, asked = lamina.open_run(runs / "gan"), {"metric_samples": 50, "sample_metrics": ("kid",)}
    one, other = (gan.evaluate(metric_network=str(folder / "judge"), **asked) for folder in (runs, tmp_path))
    kids = [[name for name in found if name.startswith("KID")] for found in (one, other)]
    assert all(len(names) == 1 for names in kids)
    assert kids[0] != kids[1]
    assert not any("FID" in name or "recognised" in name for name in one)


def test_a_layer_is_part_of_the_name(runs: Path) -> None:
    gan = lamina.open_run(runs / "gan")
    layer = next(name for name, _ in lamina.open_run(runs / "judge").model.named_modules() if "." in name)
    found = gan.evaluate(metric_network="judge", metric_layer=layer, metric_samples=100)
    (name,) = [name for name in found if name.startswith("FID")]
    assert re.fullmatch(rf"FID\[judge@[0-9a-f]{{4}}, layer {re.escape(layer)}, resize 8, n=100\]", name)
    assert math.isfinite(found[name])
    with pytest.raises(UsageError, match="metric_layer 'nothing' is no module of the metric network"):
        gan.evaluate(metric_network="judge", metric_layer="nothing")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"metric_samples": 31}, "FID: 31 samples are too few for the 32 features of judge.*--metric-samples 32 or mo"),
        ({"metric_samples": 5000}, "metric_samples=5000: the test split has 359 samples.*--metric-samples 359 or less"),
        ({"metric_samples": 500}, "has 359 samples to compare with: --metric-samples 359 or less, or --split train"),
        ({"metric_samples": 3, "sample_metrics": ("precision-recall",)}, "precision and recall need 4 samples, got 3"),
        ({"metric_network": "jugde"}, "unknown metric network 'jugde'; did you mean 'judge'"),
        ({"metric_network": "lenet5-digits"}, "has no run in .* yet; train it, once, with lamina train --config lenet"),
        ({"metric_network": "toy"}, "takes table data, not image data"),
        ({"metric_network": "gan"}, "dcgan-16 has no features of its own: --metric-layer"),
        ({"sample_metrics": ("fids",)}, "unknown value 'fids'; did you mean 'fid'"),
        ({"metric_network": None, "metric_samples": 9}, "metric_samples is for a metric network: give metric_network"),
    ],
)
def test_what_cannot_be_measured_is_refused(runs: Path, options: dict[str, Any], reason: str) -> None:
    if options.get("metric_network") == "toy" and not (runs / "toy").is_dir():
        lamina.train(
            "mlp",
            data="iris",
            epochs=9,
            lr=0.03,
            directory=runs,
            name="toy",
            report=False,
            model_options={"hidden": (4,)},
        )
    with pytest.raises(UsageError, match=reason):
        lamina.open_run(runs / "gan").evaluate(**{"metric_network": "judge", **options})


def test_on_the_command_line(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(runs / "gan"), "--metric-network", str(runs / "judge"), "--metric-samples", "64"]
    assert main([*words, "--sample-metrics", "kid,recognised", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert sum("n=64]" in name for name in metrics) == 6
    assert main([*words[:-1], "20"]) == 2
    assert "FID: 20 samples are too few for the 32 features" in capsys.readouterr().err
    assert main(["evaluate", str(runs / "judge"), "--metric-network", "gan"]) == 2
    assert "--metric-network is for autoencoding and variational and adversarial" in capsys.readouterr().err


def test_modes_of_toy_data_are_counted(tmp_path: Path) -> None:
    """Of a generator whose samples are known: the first two modes, half of the samples each."""
    run = lamina.train(
        "gan-toy", data="ring", steps=1, limit=2000, batch_size=64, directory=tmp_path, report=False,
        model_options={"generator_hidden": (2,), "discriminator_hidden": (2,)},
    )  # fmt: skip
    assert run.evaluate()["modes_covered"] <= 1
    columns, centres = run.preprocess.columns, run.source.spec.centres  # type: ignore[attr-defined]
    scaled = [[(c - n.mean) / n.std for c, n in zip(centre, columns, strict=True)] for centre in centres[:2]]

    def decode(z_BL: torch.Tensor, label: Any = None) -> torch.Tensor:
        return torch.tensor(scaled)[torch.arange(len(z_BL)) % 2]

    run.model.generator.decode = decode  # type: ignore[union-attr, assignment]
    found = run.evaluate()
    assert (found["modes_covered"], found["good_samples"]) == (2, 1.0)
    scaled[1] = [0.0, 0.0]
    found = run.evaluate()
    assert (found["modes_covered"], found["good_samples"]) == (1, 0.5)


def test_an_autoencoder_is_judged_by_the_same_metrics(runs: Path, tmp_path: Path) -> None:
    vae = lamina.train(
        "vae", data="digits", epochs=1, directory=tmp_path, report=False, model_options={"hidden": (16,), "latent": 3}
    )
    found = vae.evaluate(metric_network=str(runs / "judge"), metric_samples=64)
    (name,) = [name for name in found if name.startswith("FID")]
    assert re.fullmatch(r"FID\[judge@[0-9a-f]{4}, n=64\]", name)  # of the size of the judge's own pictures
    assert np.isfinite(found[name])
    assert found[name] > found[f"real_{name}"] > 0


def test_in_training_each_epoch_is_judged(runs: Path, tmp_path: Path) -> None:
    """Names with commas in metrics.csv; the same figures as after training; resumed with the same ones; no player."""
    asked: dict[str, Any] = {"metric_network": str(runs / "judge"), "metric_samples": 60, "precision": "bf16"}
    run = lamina.train(
        "dcgan-16", data="digits", epochs=2, directory=tmp_path, name="judged", model_options=NET, ema=0.9, **asked
    )
    names = [name for name in run.history[-1] if "[" in name]
    assert len(names) == 6
    assert all(re.fullmatch(r"validation_\w+\[judge@[0-9a-f]{4}, resize 8, n=60\]", name) for name in names)
    after = run.evaluate("validation", metric_network=asked["metric_network"], metric_samples=60)
    for name in names:
        assert run.history[-1][name] == pytest.approx(after[name.removeprefix("validation_")], rel=1e-9), name
    assert run.history[0][names[0]] != run.history[1][names[0]]
    assert {name.partition(".")[0] for name in run.model.state_dict()} == {"generator", "discriminator"}
    assert (run.path / "model.safetensors").stat().st_size < 200_000
    page = run.report().read_text(encoding="utf-8")
    assert "FID[judge@" in page

    cut = lamina.prepare(
        "dcgan-16", {"data": "digits", "epochs": 2, "model": NET, "ema": 0.9, **asked}, directory=tmp_path, name="cut"
    )
    for event in (events := cut.events()):
        if type(event).__name__ == "EpochDone":
            events.close()
            break
    again = lamina.train(name="cut", directory=tmp_path, resume=True, report=False)
    assert again.history == run.history


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        ("dcgan-16", {"validation": 0.0}, "metric_network compares with validation data .* set --validation above 0"),
        ("dcgan-16", {"metric_samples": 900}, "metric_samples=900: the validation split has 180 samples"),
        ("dcgan-16", {"metric_samples": 20}, "FID: 20 samples are too few for the 32 features"),
        ("lenet5", {}, "metric_network judges samples that a model generates, but this one generates none"),
        ("dcgan-16", {"metric_network": "nothing"}, "unknown metric network 'nothing'"),
        ("dcgan-16", {"metric_network": None, "metric_samples": 20}, "metric_samples is for a metric network"),
    ],
)
def test_what_cannot_be_judged_in_training_is_refused_before_it(
    runs: Path, tmp_path: Path, model: str, options: dict[str, Any], reason: str
) -> None:
    given = {"data": "digits", "metric_network": str(runs / "judge"), **options}
    with pytest.raises(UsageError, match=reason):
        lamina.prepare(model, {**given, "model": NET if model == "dcgan-16" else {}}, directory=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_recipe_of_ours_is_trained_once(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lamina.runs import config, training

    short = {**config.published("lenet5-digits"), "epochs": 1, "model": {}}
    monkeypatch.setattr(config, "_published", lambda name: short)
    trained: list[str] = []
    plain = training.train

    def spied(*args: Any, **options: Any) -> Any:
        trained.append(options["name"])
        return plain(*args, **options)

    monkeypatch.setattr(training, "train", spied)
    shutil.copytree(runs / "gan", tmp_path / "gan")
    words = ["evaluate", str(tmp_path / "gan"), "--metric-network", "lenet5-digits", "--sample-metrics", "recognised"]
    for _ in range(2):
        assert main([*words, "--metric-samples", "20"]) == 0
    assert trained == ["lenet5-digits"]
    assert re.search(r"recognised\[lenet5-digits@[0-9a-f]{4}, resize 32, n=20\]", capsys.readouterr().out)
