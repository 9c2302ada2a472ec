"""Anomalies: one class is normal, the others are judged; verdicts of the run, of a copy of it and of its export."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

import lamina
from lamina.cli.main import main
from lamina.errors import DataError, UsageError
from lamina.runs.autoencoding.baselines import pca_errors, principal_components
from lamina.runs.run import Run
from lamina.runs.training import prepare

QUICK: dict[str, Any] = {"epochs": 20, "batch_size": 16, "report": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("anomalies")


@pytest.fixture(scope="module")
def digits_run(folder: Path) -> Run:
    """Zeros are normal."""
    options = {"hidden": (32,), "latent": 6}
    return lamina.train(
        "vae", data="digits", normal="0", validation=0.3, directory=folder, model_options=options, name="zeros", **QUICK
    )


@pytest.fixture(scope="module")
def tumours_run(folder: Path) -> Run:
    return lamina.train(
        "autoencoder", data="breast-cancer", normal="benign", directory=folder, name="tumours",
        model_options={"hidden": (16,), "latent": 4}, objective={"corruption": "gaussian"}, **QUICK,
    )  # fmt: skip


def test_one_class_is_trained_on_and_all_are_judged(digits_run: Run) -> None:
    classes = {name: set(split.targets.tolist()) for name, split in digits_run.source.splits.items()}  # type: ignore[attr-defined]
    assert classes == {"train": {0}, "validation": {0}, "test": set(range(10))}
    found = digits_run.evaluate(importance_samples=0)
    assert found["auroc"] > 0.9
    for name in ("pca", "isolation_forest", "one_class_svm"):
        assert 0.5 < found[f"{name}_auroc"] <= 1
        assert 0.5 < found[f"{name}_auc_pr"] <= 1
    raw = digits_run.predictions("test", task=digits_run.task)
    anomalous = raw["target"] != 0
    assert found["auroc"] == pytest.approx(roc_auc_score(anomalous, raw["score"]))
    assert found["auc_pr"] == pytest.approx(average_precision_score(anomalous, raw["score"]))
    threshold = digits_run.task.threshold()  # type: ignore[attr-defined]
    assert found["detected"] == pytest.approx(float((raw["score"][anomalous] > threshold).double().mean()))
    assert found["false_alarms"] == pytest.approx(float((raw["score"][~anomalous] > threshold).double().mean()))
    assert "auroc" not in digits_run.evaluate("validation")
    for score in ("reconstruction", "latent"):
        assert digits_run.evaluate(score=score, importance_samples=0)["auroc"] != found["auroc"]


def test_the_threshold_is_a_quantile_of_normal_validation_scores(digits_run: Run) -> None:
    raw = digits_run.predictions("validation")
    assert set(raw["target"].tolist()) == {0}
    zero = digits_run.source.splits["test"].images_NCHW[0]  # type: ignore[attr-defined]
    for quantile in (0.5, 0.9, 0.99):
        (one,) = digits_run.predict(zero, quantile=quantile)
        assert one["threshold"] == pytest.approx(float(torch.quantile(raw["score"].double(), quantile)), rel=1e-6)
        assert one["verdict"] == ("anomalous" if one["score"] > one["threshold"] else "normal")
    (one,) = digits_run.predict(zero)
    assert digits_run.predict(zero, threshold=one["score"] - 1)[0]["verdict"] == "anomalous"
    assert len(one["blame"]) == 3
    with pytest.raises(UsageError, match="quantile must lie between 0 and 1"):
        digits_run.predict(zero, quantile=1.0)


def test_blame_finds_the_column_and_the_pixel(tumours_run: Run, digits_run: Run) -> None:
    row = tumours_run.source.splits["validation"].frame.iloc[0].to_dict()  # type: ignore[attr-defined]
    (before,) = tumours_run.predict(row)
    broken = {**row, "mean texture": 500.0}
    (after,) = tumours_run.predict(broken)
    assert after["verdict"] == "anomalous"
    assert after["score"] > before["score"]
    assert after["blame"][0]["name"] == "mean texture"
    assert 0.5 < after["blame"][0]["share"] <= 1
    zero = digits_run.source.splits["validation"].images_NCHW[0].clone()  # type: ignore[attr-defined]
    zero[0, 1, 0] = zero.max()
    (one,) = digits_run.predict(zero)
    assert one["blame"][0]["name"] == "row 1, column 0"


@pytest.mark.parametrize("name", ["digits_run", "tumours_run"])
def test_what_is_saved_judges(name: str, request: pytest.FixtureRequest, folder: Path) -> None:
    run: Run = request.getfixturevalue(name)
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    items = _items(run, folder / name)
    own = [one for item in items for one in run.predict(item)]
    assert len({one["verdict"] for one in own}) == 2
    again = lamina.open_run(run.path)
    assert [one for item in items for one in again.predict(item)] == own
    exported = lamina.open_exported(run.export("onnx", folder / f"{name}.onnx").path)
    theirs = [one for item in items for one in exported.predict(item)]
    assert [one["verdict"] for one in theirs] == [one["verdict"] for one in own]
    for ours, others in zip(own, theirs, strict=True):
        assert others["threshold"] == pytest.approx(ours["threshold"])
        assert others["score"] == pytest.approx(ours["score"], rel=1e-4)
        assert [part["name"] for part in others["blame"]] == [part["name"] for part in ours["blame"]]


def _items(run: Run, folder: Path) -> list[Any]:
    """20 pictures in files, or a table of as many rows."""
    folder.mkdir()
    test: Any = run.source.splits["test"].subset(range(20))  # type: ignore[attr-defined]
    if run.preprocess.kind == "table":
        test.frame.to_csv(folder / "rows.csv", index=False)
        return [folder / "rows.csv"]
    pictures = test.images_NCHW[:, 0].double() / test.images_NCHW.max() * 255
    for i, picture in enumerate(pictures.round().byte().numpy()):
        Image.fromarray(picture).save(folder / f"{i:02}.png")
    return sorted(folder.iterdir())


def test_the_command_says_the_verdict(tumours_run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = tumours_run.source.splits["test"].frame.iloc[0].to_dict()  # type: ignore[attr-defined]
    assert main(["predict", str(tumours_run.path), json.dumps(row), "--quantile", "0.9"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["item", "score", "threshold", "verdict", "blame"]
    assert "normal" in lines[1] or "anomalous" in lines[1]
    tumours_run.source.splits["test"].frame.to_csv(folder / "all.csv", index=False)  # type: ignore[attr-defined]
    assert main(["predict", str(tumours_run.path), str(folder / "all.csv"), "--out", str(folder / "verdicts.csv")]) == 0
    written = list(csv.DictReader((folder / "verdicts.csv").open()))
    assert len(written) == 114
    assert {row["verdict"] for row in written} == {"normal", "anomalous"}
    assert all(len(json.loads(row["blame"])) == 3 for row in written)
    capsys.readouterr()
    assert main(["evaluate", str(tumours_run.path)]) == 0
    out = capsys.readouterr().out
    for name in ("auroc", "auc_pr", "pca_auroc", "isolation_forest_auroc", "one_class_svm_auroc"):
        assert f"\n{name} " in out


def test_too_few_normal_samples_need_a_threshold(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given: dict[str, Any] = {**QUICK, "epochs": 1, "directory": folder, "model_options": {"hidden": (8,), "latent": 2}}
    few = lamina.train("vae", data="iris", name="few", **given)
    row = few.source.splits["test"].frame.iloc[0].to_dict()  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match=r"15 normal validation samples only: .* at least 20; give --threshold"):
        few.predict(row)
    assert few.predict(row, threshold=1.0)[0]["threshold"] == 1.0
    assert main(["predict", str(few.path), json.dumps(row)]) == 2
    assert "give --threshold" in capsys.readouterr().err


def test_normal_is_a_class_among_others(folder: Path) -> None:
    given: dict[str, Any] = {**QUICK, "directory": folder / "refused"}

    def refused(data: Any, normal: str, reason: str) -> None:
        with pytest.raises(UsageError, match=reason):
            lamina.train("vae", data=str(data), normal=normal, **given)

    refused("digits", "10", "unknown class '10'")
    refused("breast-cancer", "begnin", "did you mean 'benign'")
    refused("diabetes", "benign", "has no classes")
    images = np.random.default_rng(0).integers(0, 256, (30, 6, 6), dtype=np.uint8)
    np.savez(folder / "same.npz", x=images, y=np.zeros(30, dtype=np.int64))
    refused(folder / "same.npz", "0", "every sample .* is of that class, none is an anomaly")
    np.savez(folder / "apart.npz", x_train=images, y_train=np.ones(30, int), x_test=images, y_test=np.arange(30) % 2)
    run = lamina.train("vae", data=str(folder / "apart.npz"), normal="1", **given)
    assert "auroc" in run.evaluate(importance_samples=0)
    assert not (folder / "refused" / "vae-same").exists()


def test_limit_counts_normal_samples(folder: Path) -> None:
    run = lamina.train("vae", data="digits", normal="3", limit=30, directory=folder, name="thirty", **QUICK)
    assert run.source.spec.sizes["train"] == 30
    assert set(run.source.splits["train"].targets.tolist()) == {3}  # type: ignore[attr-defined]


def test_a_class_is_named_when_other_data_are_judged(tumours_run: Run, folder: Path) -> None:
    """Trained on rows without a target, judged on rows with one."""
    split: Any = lamina.open_source("breast-cancer").splits["train"]
    benign = split.frame[(split.targets == 1).numpy()]
    benign.to_csv(folder / "benign.csv", index=False)
    run = lamina.train(
        "autoencoder", data=str(folder / "benign.csv"), directory=folder, model_options={"hidden": (16,), "latent": 4},
        **QUICK,
    )  # fmt: skip
    assert "auroc" not in run.evaluate()
    names = np.array(["malignant", "benign"])[split.targets.numpy()]
    split.frame.assign(target=names).to_csv(folder / "both.csv", index=False)
    found = run.evaluate(data=str(folder / "both.csv"), normal="benign")
    assert found["auroc"] > 0.8
    with pytest.raises((UsageError, DataError), match="unknown class 'good'"):
        run.evaluate(data=str(folder / "both.csv"), normal="good")


def test_components_are_chosen_by_held_out_normal_data() -> None:
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(12, 12)))[0][:3]

    def draw(count: int) -> Any:
        return rng.normal(size=(count, 3)) * (5, 4, 3) @ axes + 0.3 * rng.normal(size=(count, 12))

    train, held_out = draw(500), draw(300)
    assert principal_components(train, held_out) == 3
    assert principal_components(train, None) == 3
    errors = pca_errors(train, 3, held_out)
    assert errors.mean() == pytest.approx(9 * 0.09, rel=0.1)


def test_what_is_restored_goes_to_a_folder(digits_run: Run, tumours_run: Run, folder: Path) -> None:
    pictures = _items(digits_run, folder / "to-restore")
    out = folder / "restored"
    assert main(["predict", str(digits_run.path), str(folder / "to-restore"), "--out", str(out)]) == 0
    files = sorted(out.iterdir())
    assert [file.name for file in files[:2]] == ["0000-00.png", "0001-01.png"]
    assert len(files) == 20
    (one,) = digits_run.predict(pictures[3], reconstructions=True)
    assert np.array_equal(np.array(Image.open(files[3])), one["reconstruction"][..., 0])
    (table,) = _items(tumours_run, folder / "rows-to-restore")
    assert main(["predict", str(tumours_run.path), str(table), "--out", str(folder / "rows")]) == 0
    rows = list(csv.DictReader((folder / "rows" / "reconstructions.csv").open()))
    assert len(rows) == 20
    again = tumours_run.predict(table, reconstructions=True)
    assert float(rows[4]["mean area"]) == pytest.approx(again[4]["reconstruction"]["mean area"])
    assert main(["predict", str(tumours_run.path), str(table), "--reconstructions"]) == 2


def test_without_validation_data_the_threshold_is_cross_fitted(folder: Path) -> None:
    """The scores are those of models that had not seen the samples: higher than those of the run's own."""
    given: dict[str, Any] = {**QUICK, "validation": 0.0, "directory": folder, "batch_size": 8, "epochs": 40}
    given |= {"model_options": {"hidden": (64,), "latent": 24}, "data": "breast-cancer", "limit": 60}
    training = prepare("autoencoder", {**_flat(given), "normal": "benign"}, name="cross", directory=folder)
    assert any("cross-fitted" in note for note in training.notes)
    run = lamina.train("autoencoder", name="crossed", normal="benign", **given)
    fitted = run.fitted["score.reconstruction"]
    assert len(fitted) == 60
    assert torch.equal(fitted, fitted.sort().values)
    own = run.predictions("train")["score"]
    assert float(fitted.median()) > 1.2 * float(own.median())
    row = run.source.splits["train"].frame.iloc[0].to_dict()  # type: ignore[attr-defined]
    assert run.predict(row)[0]["threshold"] == pytest.approx(float(torch.quantile(fitted, 0.99)))
    again = lamina.train("autoencoder", name="calibrated", calibrate=True, **{**given, "epochs": 1})
    assert len(again.fitted["score.latent"]) == 60
    bare = lamina.train("autoencoder", name="bare", **{**given, "epochs": 1})
    with pytest.raises(UsageError, match="no normal validation samples"):
        bare.predict(row)


def _flat(given: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in given.items() if name not in ("report", "directory", "model_options")}
    return {**rest, "model": given["model_options"]}
