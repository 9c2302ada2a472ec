"""What other packages bring beside architectures, what is wrong with some of them, and the doors that are public."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lamina
import lamina.registry
from lamina.cli.main import main
from lamina.errors import RunError, UsageError
from lamina.runs import config
from lamina.runs.training import prepare
from lamina.tasks.table import TASKS
from plugin_packages import forget, write_package

Install = Callable[..., None]
Called = Callable[..., tuple[int, str, str]]

TASK = """
from dataclasses import dataclass
from lamina.tasks import classification
from lamina.tasks.kind import TaskKind, serves_targets

@dataclass(frozen=True, kw_only=True)
class Margin:
    margin: float = 1.0
    def __post_init__(self):
        if self.margin < 0:
            raise ValueError(f"margin must not be negative, got {self.margin}")

class Ranking(classification.Classification):
    name = "NAME"

KIND = TaskKind(name="NAME", make=lambda setup: Ranking(setup.preprocess.target.outputs, setup.preprocess.call),
    serves=serves_targets("classification"), objectives={"hinge": Margin})
"""
"""a task that is classification under another name"""
MODEL = """
from lamina.cards import Card, Variant
from lamina.models.mlp import MLP, MLPConfig

class Tiny(MLP):
    pass

VARIANTS = {"tiny-net": Variant(build=Tiny, config=MLPConfig(hidden=(4,)), card=Card(
    title="Tiny", summary="A test.", paper="none", authors="nobody", year=2020, inputs=("table",),
    tasks=TASKS, input=(784,), parameters=1, macs=1, reference="none", recipe="mlp", objective=OBJECTIVE))}
"""
MODALITY = """
from lamina.data.protocols import Modality
MODALITY = Modality(name="sound", noun="sounds", unit="sound", fit=None, load=None, describe=None,
    open=lambda name, path, options: None)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a package of one module on the path, as pip would, with the groups of entry points that it is to have."""

    def put(package: str, source: str, files: dict[str, str] | None = None, **groups: dict[str, str]) -> None:
        entry_points = {f"lamina.{group}": rows for group, rows in groups.items()}
        write_package(tmp_path, package, entry_points, {f"{package}.py": source, **(files or {})})
        monkeypatch.syspath_prepend(str(tmp_path))
        forget()

    yield put
    monkeypatch.undo()
    forget(tmp_path)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Called:
    """The command line in an empty folder: exit status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(list(words))
        return status, *capsys.readouterr()

    return call


def task(name: str) -> str:
    return TASK.replace("NAME", name)


def model(tasks: tuple[str, ...], objective: str | None = None) -> str:
    return MODEL.replace("TASKS", repr(tasks)).replace("OBJECTIVE", repr(objective))


# ---------------------------------------------------------------------------- packages with something wrong


def test_a_package_that_cannot_be_imported_stops_nothing_else(install: Install, call: Called) -> None:
    """It is named where what it brings is asked for."""
    install(
        "broken", "import no_such_library",
        models={"broken": "broken"}, tasks={"ranking": "broken:KIND"}, modalities={"sound": "broken:MODALITY"},
        views={"classification/table": "broken:View"}, recipes={"broken": "broken"}, weights={"mlp": "broken"},
    )  # fmt: skip
    status, out, err = call("models")
    assert status == 0
    assert "\nlenet5 " in out
    reason = "cannot be loaded: ModuleNotFoundError: No module named 'no_such_library'"
    assert err == f"note: the models of package 'broken' {reason}\n"
    status, out, err = call("train", "mlp", "--data", "iris", "--steps", "2")
    assert status == 0, err
    assert f"note: the view 'classification/table' of package 'broken' {reason}" in err
    status, _, err = call("train", "lenet5", "--data", "digits", "--dry-run")
    assert status == 0, err
    status, _, err = call("train", "mlp", "--data", "iris", "--task", "ranking", "--dry-run")
    assert (status, err) == (2, f"lamina: the task 'ranking' of package 'broken' {reason}\n")
    Path("a.sound").write_text("")
    status, _, err = call("data", "a.sound")
    assert status == 2
    assert err.endswith(f"; the modality 'sound' of package 'broken' {reason}\n")
    status, _, err = call("train", "--config", "brokn", "--data", "iris")
    assert status == 2
    assert f"the recipes of package 'broken' {reason}" in err


def test_a_model_of_a_task_that_cannot_be_loaded_is_trained_for_its_others(install: Install, call: Called) -> None:
    install("broken", "1 / 0", tasks={"ranking": "broken:KIND"})
    install("tiny", model(("ranking", "classification")), models={"tiny": "tiny"})
    status, _, err = call("train", "tiny-net", "--data", "iris", "--dry-run")
    assert status == 0, err
    assert call("train", "tiny-net", "--help")[0] == 0
    status, _, err = call("train", "tiny-net", "--data", "diabetes", "--dry-run")
    assert (status, err) == (
        2,
        "lamina: tiny-net can be trained for ranking or classification, but 'diabetes' is regression data; the task "
        "'ranking' of package 'broken' cannot be loaded: ZeroDivisionError: division by zero\n",
    )


def test_a_row_of_another_type_is_refused_where_it_is_used(install: Install) -> None:
    install("wrong", task("ranking"), tasks={"ranking": "wrong"})
    with pytest.raises(UsageError, match="of package 'wrong' cannot be used: 'wrong' is of type module, not TaskKind"):
        prepare("mlp", {"data": "iris", "task": "ranking"}, dry=True)
    assert lamina.list_models()


def test_of_two_rows_of_one_name_both_packages_are_named(install: Install, call: Called) -> None:
    for package in ("one", "two"):
        rows = {"tasks": {"ranking": f"{package}:KIND"}, "modalities": {"sound": f"{package}:MODALITY"}}
        recipes = {f"{package}_recipes/__init__.py": "", f"{package}_recipes/loud.yaml": "epochs: 1\n"}
        install(package, task("ranking") + MODALITY, recipes, recipes={package: f"{package}_recipes"}, **rows)
    both = "packages 'one' and 'two' both bring the {}: uninstall one"
    status, _, err = call("train", "mlp", "--data", "iris", "--task", "ranking", "--dry-run")
    assert (status, err) == (2, "lamina: " + both.format("task 'ranking'") + "\n")
    Path("a.sound").write_text("")
    status, _, err = call("data", "a.sound")
    assert status == 2
    assert err.endswith("; " + both.format("modality 'sound'") + "\n")
    with pytest.raises(UsageError) as raised:
        config.published("loud")
    assert str(raised.value) == both.format("recipe 'loud'")
    assert "loud" not in lamina.list_recipes()
    assert call("train", "mlp", "--data", "iris", "--dry-run")[0] == 0


def test_names_of_ours_stay_ours(install: Install) -> None:
    recipes = {"loud_recipes/__init__.py": "", "loud_recipes/mlp.yaml": "epochs: 999\n"}
    install(
        "loud", task("classification"), recipes, tasks={"classification": "loud:KIND"}, recipes={"r": "loud_recipes"}
    )
    assert TASKS["classification"].make.__module__ == "lamina.tasks.classification"
    assert config.published("mlp")["epochs"] != 999


def test_layouts_are_of_their_own_package(install: Install, tmp_path: Path) -> None:
    """Two packages may call a module alike; a layout that cannot be loaded is named where weights are."""
    layouts = "from lamina.weights.layout import Layout\nLAYOUTS = [Layout(source='NAME', names=lambda model: [{}])]\n"
    ours, theirs = "('core', 'hidden'), ('out', 'head')", "('a', 'hidden'), ('b', 'head')"
    for package, pairs in (("one", ours), ("two", theirs)):
        files = {
            f"{package}/net.py": model(("classification",)),
            f"{package}/__init__.py": "",
            f"{package}/names.py": layouts.format(pairs).replace("NAME", package),
        }
        install(f"{package}_dist", "", files, weights={"net": f"{package}.names"})
    install("registering", "from one.net import VARIANTS", models={"one": "registering"})
    net = lamina.create_model("tiny-net", in_features=4, num_classes=3)
    state = {name.replace("hidden", "core").replace("head", "out"): value for name, value in net.state_dict().items()}
    torch.save(state, tmp_path / "weights.pt")
    assert lamina.load_weights(net, tmp_path / "weights.pt").source == "one"
    (tmp_path / "one/names.py").write_text("import no_such_library")
    forget(tmp_path)
    with pytest.raises(UsageError, match="layouts of package 'one_dist' cannot be loaded: ModuleNotFoundError"):
        lamina.load_weights(lamina.create_model("tiny-net", in_features=4, num_classes=3), tmp_path / "weights.pt")


# ---------------------------------------------------------------------------- tasks and objectives


def test_what_objective_and_task_can_be_asked_for(install: Install, call: Called) -> None:
    install("ranking", task("ranking"), tasks={"ranking": "ranking:KIND"})
    install("tiny", model(("ranking",), "hinge"), models={"tiny": "tiny"})
    begin = ("train", "tiny-net", "--data", "iris", "--dry-run")
    told = {
        ("--objective", "hingee"): "unknown objective of ranking 'hingee'; did you mean 'hinge'?",
        ("--objective.margn", "2"): "unknown option '--objective.margn'; did you mean '--objective.margin'?",
        ("--objective.margin", "far"): "--objective.margin: expected a number, got 'far'",
        ("--objective.margin", "-1"): "option of the objective hinge: margin must not be negative, got -1.0",
        ("--task", "rankng"): "unknown task 'rankng'; did you mean 'ranking'?",
        ("--task", "translation"): "tiny-net can be trained for ranking, not for translation; nor can 'iris' serve it: "
        "it has no pairs of texts",
        ("--task", "classification"): "tiny-net can be trained for ranking, not for classification",
    }
    for words, message in told.items():
        status, _, err = call(*begin, *words)
        assert (status, err) == (2, f"lamina: {message}\n")
    for words in ((), ("--task", "ranking"), ("--objective", "hinge", "--objective.margin", "0.5")):
        status, _, err = call(*begin, *words)
        assert status == 0, err
    with pytest.raises(UsageError, match="unknown option of the objective hinge 'margn'; did you mean 'margin'"):
        prepare("tiny-net", {"data": "iris", "objective": {"margn": 2}}, dry=True)
    status, _, err = call("train", "mlp", "--data", "diabetes", "--task", "ranking", "--dry-run")
    assert (status, err) == (
        2,
        "lamina: mlp can be trained for classification, multilabel or regression, not for ranking; nor can 'diabetes' "
        "serve it: it is regression data\n",
    )


def test_an_option_of_an_objective_where_there_is_none(install: Install, call: Called) -> None:
    install("plain", task("plain").replace(', objectives={"hinge": Margin}', ""), tasks={"plain": "plain:KIND"})
    install("tiny", model(("plain",)), models={"tiny": "tiny"})
    for option in ("--objective.margin", "--objective"):
        status, _, err = call("train", "tiny-net", "--data", "iris", "--dry-run", option, "1")
        assert (status, err) == (2, f"lamina: tiny-net has no objectives to choose from, got {option}\n")
    with pytest.raises(UsageError, match="the task plain has no objectives to choose from, got 'margin'"):
        prepare("tiny-net", {"data": "iris", "objective": {"margin": 1}}, dry=True)


def test_options_of_the_usual_objective_are_those_of_the_run(install: Install, tmp_path: Path) -> None:
    """Without its name, too, and where it is not the first of its task."""
    several = task("ranking").replace('{"hinge"', '{"first": Margin, "hinge"')
    install("ranking", several, tasks={"ranking": "ranking:KIND"})
    install("tiny", model(("ranking",), "hinge"), models={"tiny": "tiny"})
    run = lamina.train(
        "tiny-net", data="iris", steps=1, objective={"margin": 0.5}, directory=tmp_path / "runs", report=False
    )
    objective = lamina.open_run(run.path).objective
    assert (objective.name, vars(objective.options)) == ("hinge", {"margin": 0.5})


def test_a_run_of_packages_that_are_gone(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install("ranking_dist", task("ranking"), tasks={"ranking": "ranking_dist:KIND"})
    install("tiny_dist", model(("ranking",)), models={"tiny": "tiny_dist"})
    run = lamina.train("tiny-net", data="iris", steps=1, directory=tmp_path / "runs", report=False)
    (tmp_path / "ranking_dist-1.0.dist-info/entry_points.txt").unlink()
    (tmp_path / "tiny_dist-1.0.dist-info/entry_points.txt").unlink()
    forget(tmp_path)
    with pytest.raises(RunError) as raised:
        lamina.open_run(run.path)
    assert str(raised.value) == (
        f"{run.path} needs the model 'tiny-net' and the task 'ranking', which no installed package has (it was trained "
        "with ranking_dist and tiny_dist)"
    )
    assert lamina.list_runs(tmp_path / "runs")[0].history


# ---------------------------------------------------------------------------- the public doors


def test_a_model_registered_by_hand(tmp_path: Path) -> None:
    row = dataclasses.replace(
        lamina.registry.variant("mlp"), card=dataclasses.replace(lamina.card("mlp"), aliases=("mine",))
    )
    assert not lamina.is_model("My_Net")
    lamina.register_model("my-net", row)
    try:
        assert lamina.is_model("My_Net")
        assert lamina.is_model("Mine")
        assert "my-net" in lamina.list_models()
        run = lamina.train("my-net", data="iris", steps=2, directory=tmp_path, report=False)
        assert lamina.open_run(run.path).evaluate() == run.evaluate()
        for name in ("my-net", "MINE", "lenet5"):
            with pytest.raises(UsageError, match=f"there is a model called '{name}' already: choose another name"):
                lamina.register_model(name, row)
    finally:
        lamina.registry._REGISTERED.clear()
        forget()
    assert not lamina.is_model("my-net")
    with pytest.raises(RunError, match=r"needs the model 'my-net', which no installed package has$"):
        lamina.open_run(run.path)


def test_a_model_with_weights_and_what_pretrained_means(tmp_path: Path) -> None:
    net = lamina.create_model("mlp", hidden=(4,), in_features=3, num_classes=2)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    again = lamina.create_model("mlp", weights=tmp_path / "net.pt", hidden=(4,), in_features=3, num_classes=2)
    assert all(map(torch.equal, net.state_dict().values(), again.state_dict().values()))
    for value in (True, False):
        with pytest.raises(UsageError) as raised:
            lamina.create_model("mlp", pretrained=value)
        assert str(raised.value) == (
            "there is no option 'pretrained', and no weights are listed for mlp: give a file, "
            "create_model('mlp', weights='FILE'), or load_weights(model, 'FILE') afterwards"
        )
    with pytest.raises(UsageError, match=r"no such file: .*none\.pt"):
        lamina.create_model("mlp", weights=tmp_path / "none.pt")


def test_data_recipes_and_a_training_to_look_at(tmp_path: Path) -> None:
    assert lamina.list_data()[:2] == ["digits", "iris"]
    assert {"mlp", "lenet5-digits"} <= set(lamina.list_recipes())
    found = lamina.describe(lamina.open_source("iris"))
    assert (found["kind"], found["task"], list(found["classes"])) == (
        "table", "classification", ["setosa", "versicolor", "virginica"],
    )  # fmt: skip
    training = lamina.prepare("mlp", {"data": "iris", "model": {"hidden": [4]}}, directory=tmp_path, dry=True)
    assert training.parameters == 4 * 4 + 4 + 4 * 3 + 3
    assert training.stream.per_epoch > 0
    assert not list(tmp_path.iterdir())


class Squared(lamina.Task):
    """Squared error of class probabilities (Brier 1950)."""

    monitor = ("brier", "min")

    def loss(self, model: nn.Module, batch: dict[str, Tensor], engine: Any) -> tuple[Tensor, dict[str, Tensor]]:
        return self.cost(model, batch), {}

    def cost(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        probabilities_BK = model(batch["features"]).softmax(1)
        return ((probabilities_BK - F.one_hot(batch["target"], 3)) ** 2).sum(1).mean()

    def metrics(self) -> Any:
        from torchmetrics import MeanMetric, MetricCollection

        return MetricCollection({"brier": MeanMetric()})

    def evaluate_step(self, model: nn.Module, batch: dict[str, Tensor], metrics: Any) -> None:
        metrics["brier"].update(self.cost(model, batch), weight=len(batch["target"]))

    def predict(self, model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"probabilities": model(batch["features"]).softmax(1)}


def test_a_task_of_the_users_own(tmp_path: Path, call: Called) -> None:
    run = lamina.train("mlp", data="iris", epochs=2, task=Squared(), directory=tmp_path / "runs")
    figures = run.evaluate()
    assert set(figures) == {"brier"}
    again = lamina.open_run(run.path, task=Squared())
    assert again.evaluate() == figures
    row = dict.fromkeys(again.preprocess.feature_names, 1.0)  # type: ignore[attr-defined]
    assert len(again.predict(row)[0]["probabilities"]) == 3
    without = lamina.open_run(run.path)
    assert without.task_name == "Squared"
    assert len(without.embed(row)) == 1, "which needs no task"
    with pytest.raises(UsageError, match=r"for a task of your own: open it with open_run\(path, task=...\)"):
        without.evaluate()
    with pytest.raises(UsageError, match="for a task of your own: predict with the run, in torch"):
        again.predict(row, engine="onnxruntime")
    status, out, err = call("runs")
    assert status == 0, err
    assert "mlp-iris" in out


def test_a_training_for_a_task_of_the_users_own_is_resumed_with_it(tmp_path: Path) -> None:
    own: dict[str, Any] = {"data": "iris", "directory": tmp_path, "report": False}
    lamina.train("mlp", name="own", task=Squared(), epochs=1, **own)
    lamina.train("mlp", name="table", epochs=1, **own)
    with pytest.raises(UsageError, match="started with a task of your own, Squared; it cannot be resumed without one"):
        lamina.train(name="own", resume=True, epochs=2, directory=tmp_path)
    with pytest.raises(UsageError, match="started with 'classification'; it cannot be resumed with Squared"):
        lamina.train(name="table", resume=True, epochs=2, directory=tmp_path, task=Squared())
    run = lamina.train(name="own", resume=True, epochs=2, directory=tmp_path, task=Squared(), report=False)
    assert len(run.history) == 2
    with pytest.raises(UsageError, match="mlp takes table or image data, but 'python-docs' is text data"):
        lamina.train("mlp", data="python-docs", task=Squared(), directory=tmp_path)
    with pytest.raises(UsageError, match="objective is for tasks of the table"):
        lamina.train("mlp", data="iris", task=Squared(), objective="focal", directory=tmp_path)
