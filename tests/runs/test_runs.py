"""A run on disk: what training leaves behind can be opened, and says the same as the trained model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

import lamina
from lamina.errors import RunError, UsageError
from lamina.runs.run import Run
from lamina.training.checkpoints import Checkpoints


def test_training_learns_and_the_run_says_the_same_when_opened_again(digits_run: Run) -> None:
    figures = digits_run.evaluate()
    assert figures["accuracy"] >= 0.95
    again = lamina.open_run(digits_run.path)
    assert again.evaluate() == figures
    assert again.model is not digits_run.model


def test_the_folder_holds_what_the_design_says(digits_run: Run) -> None:
    names = {path.name for path in digits_run.path.iterdir()}
    assert names >= {
        "config.yaml", "model.safetensors", "card.json", "data.json", "preprocess.json", "checkpoints",
        "metrics.csv", "status.json", "report.html",
    }  # fmt: skip
    config = yaml.safe_load((digits_run.path / "config.yaml").read_text())
    assert (config["format"], config["name"], config["data"], config["epochs"]) == (1, "lenet5", "digits", 6)
    card = json.loads((digits_run.path / "card.json").read_text())
    assert card["parameters"] == 61_706
    assert card["card"]["parameters"] == 61_706
    assert json.loads((digits_run.path / "status.json").read_text())["finished"] is True
    assert len(Checkpoints(digits_run.path / "checkpoints").paths()) == 2


def test_history_has_a_row_for_each_epoch_and_marks_the_best(digits_run: Run) -> None:
    rows = digits_run.history
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["train_loss"] < rows[0]["train_loss"] / 2
    best = max(row["validation_accuracy"] for row in rows)
    marked = [row for row in rows if row["best"]][-1]
    assert marked["validation_accuracy"] == best
    assert digits_run.evaluate("validation")["accuracy"] == pytest.approx(best)


def test_predictions_agree_with_evaluation(digits_run: Run) -> None:
    outcome = digits_run.outcome("test")
    accuracy = (outcome["probabilities"].argmax(1) == outcome["target"]).float().mean().item()
    assert accuracy == pytest.approx(digits_run.evaluate("test")["accuracy"])


def test_predict_takes_a_file_an_array_and_an_image(digits_run: Run, tmp_path: Path) -> None:
    split = digits_run.source.splits["test"]
    image = split.images_NCHW[0, 0].numpy()  # type: ignore[union-attr]
    Image.fromarray(image).save(tmp_path / "digit.png")
    said = digits_run.predict(str(tmp_path / "digit.png"), image, Image.fromarray(image))
    assert said[0] == said[1] == said[2]
    expected = digits_run.outcome("test")["probabilities"][0]
    assert list(said[0]["probabilities"]) == [str(d) for d in range(10)]
    np.testing.assert_allclose(list(said[0]["probabilities"].values()), expected.numpy(), atol=1e-6)
    assert said[0]["class"] == str(expected.argmax().item())
    assert said[0]["probability"] == max(said[0]["probabilities"].values())


def test_embed_gives_what_the_head_sees(digits_run: Run) -> None:
    embedded = digits_run.embed()
    assert embedded.shape == (len(digits_run.source.splits["test"]), 84)
    probabilities = digits_run.model.head(embedded).softmax(1)  # type: ignore[operator]
    torch.testing.assert_close(probabilities, digits_run.outcome("test")["probabilities"])


def test_predicting_nothing_and_nonsense(digits_run: Run) -> None:
    with pytest.raises(UsageError, match="nothing to predict"):
        digits_run.predict()
    with pytest.raises(UsageError, match=r"no_such\.png"):
        digits_run.predict("no_such.png")
    with pytest.raises(UsageError, match="unknown split 'tets'; did you mean 'test'"):
        digits_run.evaluate("tets")


def test_regression_is_told_in_the_targets_own_units(diabetes_run: Run) -> None:
    figures = diabetes_run.evaluate()
    outcome = diabetes_run.outcome()
    truth = diabetes_run.source.splits["test"].targets
    errors = (outcome["values"] - truth).numpy()
    assert figures["rmse"] == pytest.approx(float(np.sqrt((errors**2).mean())), rel=1e-5)
    r2 = 1 - (errors**2).sum() / ((truth - truth.mean()) ** 2).sum().item()
    assert figures["r2"] == pytest.approx(r2, rel=1e-5)
    row = diabetes_run.source.splits["test"].frame.iloc[0].to_dict()  # type: ignore[union-attr]
    assert next(iter(diabetes_run.predict(row)[0].values())) == pytest.approx(outcome["values"][0].item(), rel=1e-5)


def test_report_names_the_run_and_shows_its_figures(digits_run: Run, diabetes_run: Run) -> None:
    page = (digits_run.path / "report.html").read_text()
    assert "lenet5-digits" in page
    assert (
        f"{100 * digits_run.evaluate()['accuracy']:.1f}" in page or f"{digits_run.evaluate()['accuracy']:.3f}" in page
    )
    assert "<script" not in page
    assert "bmi" in (diabetes_run.path / "report.html").read_text()


def test_no_run_is_overwritten(short: dict) -> None:
    paths = [lamina.train("mlp", **short).path.name for _ in range(3)]
    assert paths == ["mlp-iris", "mlp-iris-2", "mlp-iris-3"]


def test_same_seed_same_bits_another_seed_others(short: dict) -> None:
    one, two, other = (lamina.train("mlp", seed=seed, **short) for seed in (3, 3, 4))
    assert one.directory.weights.read_bytes() == two.directory.weights.read_bytes()
    assert one.directory.metrics.read_bytes() == two.directory.metrics.read_bytes()
    assert one.directory.weights.read_bytes() != other.directory.weights.read_bytes()


def test_a_longer_training_goes_on_from_a_finished_one(short: dict) -> None:
    run = lamina.train("mlp", schedule="constant", warmup=0.0, name="r", **short)
    longer = lamina.train("mlp", name="r", resume=True, **{**short, "epochs": 4})
    assert [row["epoch"] for row in longer.history] == [1, 2, 3, 4]
    straight = lamina.train("mlp", schedule="constant", warmup=0.0, name="s", **{**short, "epochs": 4})
    assert longer.directory.metrics.read_bytes() == straight.directory.metrics.read_bytes()
    assert longer.path == run.path


def test_resuming_with_another_recipe_is_refused(short: dict) -> None:
    lamina.train("mlp", name="r", **short)
    with pytest.raises(UsageError, match=r"started with lr=0\.002; it cannot be resumed with lr=0\.5"):
        lamina.train("mlp", name="r", resume=True, lr=0.5, **short)
    with pytest.raises(UsageError, match="trains mlp, not lenet5"):
        lamina.train("lenet5", name="r", resume=True, **short)
    with pytest.raises(UsageError, match="no such run"):
        lamina.train("mlp", name="another", resume=True, **short)


def test_a_module_of_the_users_own(short: dict) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)
            self.config = lamina.Recipe()  # a dataclass of its own, and no variant's

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x)

    run = lamina.train(Own(), **{**short, "epochs": 40, "lr": 0.05})
    assert run.evaluate()["accuracy"] >= 0.9
    with pytest.raises(UsageError, match="module of your own"):
        lamina.open_run(run.path).evaluate()
    assert lamina.open_run(run.path, model=Own()).evaluate() == run.evaluate()


def test_fp64_runs_and_opens(short: dict) -> None:
    run = lamina.train("mlp", precision="fp64", **short)
    assert next(lamina.open_run(run.path).model.parameters()).dtype is torch.float64
    assert run.predict(dict.fromkeys(run.source.splits["test"].frame.columns, 1.0))  # type: ignore[union-attr]


def test_averaged_weights_are_the_ones_kept(short: dict) -> None:
    run = lamina.train("mlp", ema=0.9, lr=0.01, **short)
    latest = run.directory.checkpoints.latest()
    assert latest is not None
    state = torch.load(latest, weights_only=True)["engine"]
    best = run.history[-1]["best"]
    assert best, "the last epoch is the best of this short training"
    torch.testing.assert_close(run.model.state_dict()["head.weight"], state["average"]["model"]["head.weight"])
    assert not torch.equal(run.model.state_dict()["head.weight"], state["models"]["model"]["head.weight"])


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a run: it has no config\.yaml"):
        lamina.open_run(tmp_path)
    with pytest.raises(UsageError, match="no such run"):
        lamina.open_run(tmp_path / "nowhere")


def test_a_run_of_another_format_and_a_damaged_one(short: dict) -> None:
    run = lamina.train("mlp", **short)
    config = run.path / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("format: 1", "format: 9"))
    with pytest.raises(RunError, match="format 9"):
        lamina.open_run(run.path)
    config.write_text(text)
    weights = run.directory.weights.read_bytes()
    run.directory.weights.write_bytes(weights[: len(weights) // 2])
    with pytest.raises(RunError, match=r"model\.safetensors is damaged"):
        lamina.open_run(run.path).evaluate()
    run.directory.weights.unlink()
    with pytest.raises(RunError, match=r"no weights yet: it was stopped .*--resume goes on"):
        lamina.open_run(run.path).evaluate()
    with run.directory.locked(), pytest.raises(RunError, match="no weights yet: its first epoch is being trained"):
        lamina.open_run(run.path).evaluate()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short"])
def test_a_damaged_checkpoint_is_named(short: dict, content: bytes) -> None:
    run = lamina.train("mlp", name="r", **short)
    latest = run.directory.checkpoints.latest()
    assert latest is not None
    latest.write_bytes(content)
    with pytest.raises(RunError, match=f"{latest.name} is damaged.*delete it to continue from the one before"):
        lamina.train("mlp", name="r", resume=True, **{**short, "epochs": 5})
    latest.unlink()
    assert len(lamina.train("mlp", name="r", resume=True, **{**short, "epochs": 5}).history) == 5


def test_changed_data_are_noticed(tmp_path: Path) -> None:
    table = tmp_path / "points.csv"
    rows = [f"{x},{y},{'a' if x > y else 'b'}" for x in range(12) for y in range(12)]
    table.write_text("u,v,label\n" + "\n".join(rows))
    asked = {"data": str(table), "epochs": 1, "batch_size": 16, "directory": tmp_path, "report": False}
    run = lamina.train("mlp", name="r", **asked)
    table.write_text("u,v,label\n" + "\n".join(rows[::-1]))
    with pytest.raises(RunError, match="has changed"):
        lamina.train("mlp", name="r", resume=True, **{**asked, "epochs": 2})
    with pytest.raises(RunError, match="has changed"):
        lamina.open_run(run.path).evaluate()


def test_a_loss_that_is_not_finite_stops_with_the_last_good_checkpoint(short: dict) -> None:
    with pytest.raises(
        lamina.TrainingError, match=r"loss of 'model' is not finite at step \d+ \(rate .*last good checkpoint"
    ):
        lamina.train(
            "mlp", name="r", **{**short, "data": "diabetes", "epochs": 30}, lr=1e6, optimizer="sgd", checkpoint_every=1
        )


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"lrr": 0.1}, "unknown key 'lrr'; did you mean 'lr'"),
        ({"optimizer": "adamm"}, "unknown value 'adamm'; did you mean 'adam"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"epochs": 1.5}, "expected a whole number"),
        ({"steps": 3, "images": 4}, "one length"),
        ({"batch_size": 10_000}, r"batch size 10000 is larger than the training data \(\d+ samples\)"),
        ({"model_options": {"hiden": (3,)}}, "did you mean 'hidden'"),
        ({"model_options": {"num_classes": 7}}, "num_classes=7 does not fit the data, which need 3"),
        ({"flip": True}, "flip is for images, but the data are a table"),
        ({"patience": 1, "validation": 0.0}, "watch a validation metric"),
        ({"schedule": "inverse-sqrt", "warmup": 0.0}, "needs a warm-up"),
    ],
)
def test_wrong_options_are_told_in_one_line(short: dict, asked: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        lamina.train("mlp", **{**short, **({"epochs": None} if "steps" in asked else {}), **asked})
    assert "\n" not in str(caught.value)
    assert lamina.list_runs(short["directory"]) == []


def test_model_and_data_of_different_kinds(short: dict) -> None:
    with pytest.raises(UsageError, match="lenet5 takes image data, but 'iris' is table data"):
        lamina.train("lenet5", **short)


def test_other_data_are_judged_by_their_class_names(tmp_path: Path) -> None:
    """Another file whose classes come in another order, one of them absent."""
    rows = [(u, v, "high" if u > v else "low" if u < v else "even") for u in range(12) for v in range(12)]
    for name, part in (("one.csv", rows), ("other.csv", [row for row in rows[::-1] if row[2] != "even"])):
        (tmp_path / name).write_text("u,v,label\n" + "\n".join(f"{u},{v},{label}" for u, v, label in part))
    run = lamina.train(
        "mlp", data=str(tmp_path / "one.csv"), epochs=30, batch_size=16, directory=tmp_path, report=False
    )
    assert run.evaluate(data=str(tmp_path / "other.csv"))["accuracy"] >= 0.95
    with pytest.raises(UsageError, match="takes table data, but 'digits' is image data"):
        run.evaluate(data="digits")
    with pytest.raises(lamina.DataError, match="the class 'setosa', which the model does not know"):
        run.evaluate(data="iris")
