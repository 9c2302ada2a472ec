"""What a report and an inspection of an autoencoder show, and what codes are good for."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import write_pictures
from PIL import Image

import lamina
from lamina.cli.main import main
from lamina.errors import UsageError
from lamina.runs.autoencoding.features import features
from lamina.runs.autoencoding.report import dimension_costs, restored
from lamina.runs.run import Run


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A VAE of digits, a class normal, with its report."""
    options = {"hidden": (32,), "latent": 5}
    return lamina.train(
        "vae", data="digits", epochs=8, batch_size=16, directory=tmp_path_factory.mktemp("digits"),
        model_options=options, validation=0.2, objective={"beta": 0.5},
    )  # fmt: skip


def page_of(run: Run) -> str:
    return (run.path / "report.html").read_text()


def test_the_report_shows_what_the_model_restores(digits_run: Run) -> None:
    page = page_of(digits_run)
    for name in ("reconstructions", "training-pictures", "traversals", "latent", "features"):
        assert f'id="{name}"' in page, name
    assert 'id="anomalies"' not in page
    assert page.count('alt="a walk along dimension') == 0 or "a walk along dimension" in page
    assert "Epoch 8" in page
    costs = dimension_costs(digits_run, "test")
    assert costs is not None
    assert float(costs.sum()) == pytest.approx(digits_run.evaluate(importance_samples=0)["kl"], rel=1e-4)
    assert f"{int((costs > 0.05).sum())} of 5 dimensions" in page


def test_codes_are_judged_beside_pca_and_the_raw_input(digits_run: Run) -> None:
    found = features(digits_run)
    assert found.codes_N2.shape == found.pca_N2.shape == found.tsne_N2.shape == (300, 2)
    scores = found.scores
    assert scores["tsne_trustworthiness"] > scores["pca_trustworthiness"] > 0.7
    assert 0.5 < scores["knn"] <= 1
    for labels in (10, 100, 1000):
        assert 0 < scores[f"probe_{labels}"] <= 1
    assert scores["raw_probe_1000"] > scores["raw_probe_100"] > scores["raw_probe_10"]
    # a linear map of 5 principal components is checked against plain calculations
    train = digits_run.source.splits["train"]
    x, y = (train.images_NCHW.flatten(1).double() / 16).numpy(), train.targets.numpy()  # type: ignore[attr-defined] # of images
    test = digits_run.source.splits["test"]
    u = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:5].T
    z, w = (x - x.mean(0)) @ u, ((test.images_NCHW.flatten(1).double() / 16).numpy() - x.mean(0)) @ u  # type: ignore[attr-defined] # of images
    near = ((w[:, None] - z[None]) ** 2).sum(2).argsort(1)[:, :10]
    votes = np.array([np.bincount(row, minlength=10).argmax() for row in y[near]])
    assert scores["pca_knn"] == pytest.approx((votes == test.targets.numpy()).mean(), abs=0.01)  # type: ignore[attr-defined] # of images


def test_new_points_are_mapped_without_refitting(digits_run: Run) -> None:
    whole = digits_run.embed()
    image = digits_run.source.splits["test"].images_NCHW[3]  # type: ignore[attr-defined] # of images
    torch.testing.assert_close(digits_run.embed(image)[0], whole[3], atol=1e-5, rtol=0)


def test_anomalies_are_a_section(tmp_path: Path) -> None:
    run = lamina.train(
        "autoencoder", data="breast-cancer", normal="benign", epochs=5, batch_size=16, directory=tmp_path,
        model_options={"hidden": (16,), "latent": 4},
    )  # fmt: skip
    page = page_of(run)
    assert 'id="anomalies"' in page
    for method in ("the model", "PCA", "isolation forest", "one-class SVM"):
        assert method in page
    assert f"{run.evaluate()['pca_auroc']:.3f}" in page
    assert 'id="reconstructions"' in page
    assert "Error by column" in page


def test_a_denoiser_on_two_columns_has_a_field(tmp_path: Path) -> None:
    angles = np.linspace(0, 6.28, 120)
    rows = "\n".join(f"{np.cos(a):.4f},{np.sin(a):.4f}" for a in angles)
    (tmp_path / "circle.csv").write_text(f"a,b\n{rows}\n")
    run = lamina.train(
        "denoising-autoencoder", data=str(tmp_path / "circle.csv"), epochs=60, batch_size=16, directory=tmp_path,
        model_options={"hidden": (32,), "latent": 16}, objective={"level": 0.3}, lr=0.005,
    )  # fmt: skip
    page = page_of(run)
    assert "Vector field" in page
    assert "Where the denoiser moves" in page
    far = torch.tensor([[2.0, 0.0], [0.0, -2.0], [-2.0, 2.0]])
    _, _, out = restored(run, {"features": far})
    assert bool((out.norm(dim=1) < far.norm(dim=1)).all())


def test_an_inspection_of_a_picture(digits_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = digits_run.source.splits["test"].images_NCHW[0]  # type: ignore[attr-defined] # of images
    found: Any = digits_run.inspect(image)
    (predicted,) = digits_run.predict(image)
    assert found.score == pytest.approx(predicted["score"], rel=1e-5)
    torch.testing.assert_close(found.code_L, digits_run.embed(image)[0])
    torch.testing.assert_close(found.error_CHW, (found.restored_CHW - found.x_CHW).square())
    assert found.spread_L.shape == (5,)
    file = tmp_path / "digit.png"
    Image.fromarray((image[0].double() / 16 * 255).round().byte().numpy()).save(file)
    assert main(["inspect", str(digits_run.path), "--image", str(file), "--out", str(tmp_path / "seen")]) == 0
    files = sorted(path.name for path in (tmp_path / "seen").iterdir())
    assert files[:2] == ["inspect.html", "reconstruction.png"]
    assert len([name for name in files if name.startswith("walk-z")]) == 5
    page = (tmp_path / "seen" / "inspect.html").read_text()
    assert "restored from its code" in page
    assert predicted["verdict"] in page
    with pytest.raises(UsageError, match="class is for models that predict classes"):
        digits_run.inspect(image, "3")


def test_pictures_of_an_epoch_show_inputs_and_what_is_restored(tmp_path: Path) -> None:
    run = lamina.train(
        "autoencoder-conv", data=str(write_pictures(tmp_path / "pictures")), epochs=2, batch_size=8, directory=tmp_path,
        model_options={"image_size": 8, "widths": (4,), "latent": 4}, report=False,
    )  # fmt: skip
    picture = np.array(Image.open(io.BytesIO((run.path / "samples" / "epoch-0001.png").read_bytes())))
    first = run.source.splits["validation"].paths[0]  # type: ignore[attr-defined] # of images
    assert np.array_equal(picture[2:66:8, 2:66:8], np.array(Image.open(first)))
