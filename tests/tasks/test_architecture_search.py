"""Weight sharing: the hypergradient, the toy with one right operation, the streams of the players, resuming."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.func import functional_call

import lamina
from lamina.errors import UsageError
from lamina.layers.cells.supernet import Alphas
from lamina.models.darts_supernet import DartsSupernet, DartsSupernetConfig
from lamina.options.recipe import Recipe
from lamina.tasks.architecture_search.hypergradient import by_differences, second_order
from lamina.tasks.architecture_search.options import DartsOptions, EnasOptions
from lamina.tasks.architecture_search.task import Darts, Enas, make
from lamina.tasks.base import one_tensor
from lamina.training.engine import Engine
from lamina.training.events import StepDone

TINY: dict[str, Any] = {
    "data": "digits",
    "limit": 100,
    "batch_size": 10,
    "steps": 4,
    "model": {
        "width": 2,
        "layers": 3,
        "nodes": 1,
        "image_size": 8,
        "operations": ["none", "skip_connect", "sep_conv_3x3"],
    },
}

# ---------------------------------------------------------------- the hypergradient


def network(seed: int) -> tuple[DartsSupernet, list[Tensor]]:
    """A supernet in double precision, in training mode, and two batches of images and classes."""
    torch.manual_seed(seed)
    config = DartsSupernetConfig(width=2, layers=3, nodes=1, operations=("none", "skip_connect", "sep_conv_3x3"))
    net = DartsSupernet(config).double()
    for weight in net.alphas.parameters():
        weight.data.normal_()
    return net, [
        torch.randn(6, 3, 6, 6, dtype=torch.float64),
        torch.randint(10, (6,)),
        torch.randn(6, 3, 6, 6, dtype=torch.float64),
        torch.randint(10, (6,)),
    ]


def losses_of(net: DartsSupernet, x: Tensor, y: Tensor) -> Callable[[Mapping[str, Tensor]], Tensor]:
    buffers = {name: buffer.clone() for name, buffer in net.weights.named_buffers()}

    def loss(weights: Mapping[str, Tensor]) -> Tensor:
        logits = functional_call(net.weights, {**weights, **buffers}, (x, net.alphas()))
        return F.cross_entropy(logits, y)

    return loss


def test_the_second_order_is_autograd_through_the_step_and_central_differences() -> None:
    net, (x, y, other_x, other_y) = network(0)
    training, validation = losses_of(net, x, y), losses_of(net, other_x, other_y)
    weights, alphas, xi = dict(net.weights.named_parameters()), list(net.alphas.parameters()), 0.05
    found = second_order(training, validation, weights, alphas, xi)

    slope = torch.autograd.grad(training(weights), list(weights.values()), create_graph=True)
    after = {name: weight - xi * part for (name, weight), part in zip(weights.items(), slope, strict=True)}
    wanted = torch.autograd.grad(validation(after), alphas)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)

    def judged() -> float:
        parts = torch.autograd.grad(training(weights), list(weights.values()))
        with torch.no_grad():
            moved = {name: weight - xi * part for (name, weight), part in zip(weights.items(), parts, strict=True)}
            return float(validation(moved))

    for alpha, gradient in zip(alphas, found, strict=True):
        for place in [(0, 0), (1, 2)]:
            values = []
            for step in (1e-5, -1e-5):
                alpha.data[place] += step
                values.append(judged())
                alpha.data[place] -= step
            assert float(gradient[place]) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6, abs=1e-9)


def test_differences_come_near_it_with_their_step() -> None:
    net, (x, y, other_x, other_y) = network(1)
    arguments = (losses_of(net, x, y), losses_of(net, other_x, other_y), dict(net.weights.named_parameters()))
    alphas = list(net.alphas.parameters())
    exact = torch.cat([part.flatten() for part in second_order(*arguments, alphas, 0.05)])
    far, near = (
        torch.cat([part.flatten() for part in by_differences(*arguments, alphas, 0.05, step)]) for step in (1e-3, 1e-6)
    )
    far, near = (float((found - exact).norm() / exact.norm()) for found in (far, near))
    assert near < 1e-4
    assert near < far / 50


def quadratic(seed: int) -> tuple[Any, Any, dict[str, Tensor], Tensor]:
    """Losses quadratic in the weights: the training loss also bilinear in weights and alphas."""
    torch.manual_seed(seed)
    a, b, c = (torch.randn(4, 4, dtype=torch.float64) for _ in range(3))
    weights = {"w": torch.randn(4, dtype=torch.float64)}
    alpha = torch.randn(4, dtype=torch.float64, requires_grad=True)
    return (
        lambda w: (a @ w["w"]).square().sum() / 2 + w["w"] @ b @ alpha.sin(),
        lambda w: (c @ w["w"] - 1).square().sum() / 2 + (alpha * w["w"]).sum(),
        weights,
        alpha,
    )


@pytest.mark.parametrize("seed", range(3))
def test_both_are_exact_on_a_quadratic(seed: int) -> None:
    training, validation, weights, alpha = quadratic(seed)
    xi = 0.1
    (found,) = by_differences(training, validation, weights, [alpha], xi)
    w = weights["w"].clone().requires_grad_()
    (slope,) = torch.autograd.grad(training({"w": w}), w, create_graph=True)
    (wanted,) = torch.autograd.grad(validation({"w": w - xi * slope}), alpha)
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-10)
    (exact,) = second_order(training, validation, weights, [alpha], xi)
    torch.testing.assert_close(exact, wanted, rtol=1e-12, atol=1e-12)
    for place in range(4):
        values = []
        for step in (1e-5, -1e-5):
            moved = {"w": weights["w"].clone().requires_grad_()}
            alpha.data[place] += step
            (part,) = torch.autograd.grad(training(moved), moved["w"])
            values.append(float(validation({"w": moved["w"] - xi * part}).detach()))
            alpha.data[place] -= step
        assert float(found[place]) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("function", [by_differences, second_order])
def test_without_a_step_it_is_the_first_order(function: Any) -> None:
    net, (x, y, other_x, other_y) = network(2)
    training, validation = losses_of(net, x, y), losses_of(net, other_x, other_y)
    weights, alphas = dict(net.weights.named_parameters()), list(net.alphas.parameters())
    found = function(training, validation, weights, alphas, 0.0)
    for one, other in zip(found, torch.autograd.grad(validation(weights), alphas), strict=True):
        assert torch.equal(one, other)


def test_a_loss_that_the_weights_do_not_move_has_no_second_term() -> None:
    alpha = torch.ones(2, dtype=torch.float64, requires_grad=True)
    weights = {"w": torch.ones(2, dtype=torch.float64)}
    validation = lambda w: alpha.square().sum() + 0 * w["w"].sum()  # noqa: E731
    (found,) = by_differences(lambda w: (w["w"] * alpha).sum(), validation, weights, [alpha], 0.1)
    assert found.tolist() == [2.0, 2.0]


# ---------------------------------------------------------------- the task's updates


def engine_of(task: Darts, net: Any, recipe: Recipe) -> Engine:
    return Engine(Fabric(accelerator="cpu"), task, {"weights": net.weights, "alphas": net.alphas}, recipe)


class Fixed:
    """The same batch for ever, of each stream."""

    def __init__(self, **streams: dict[str, Tensor]) -> None:
        self.streams = streams

    def __next__(self) -> dict[str, Tensor]:
        raise AssertionError("a stream has a name")

    def __getitem__(self, name: str) -> Any:
        batch = self.streams[name]

        class One:
            def __next__(self) -> dict[str, Tensor]:
                return batch

        return One()


@pytest.mark.parametrize("order", ["first", "second", "differences"])
def test_an_update_is_a_step_of_the_alphas_and_then_of_the_weights(order: Any) -> None:
    net, (x, y, other_x, other_y) = network(3)
    xi = 0.05
    weights, alphas = dict(net.weights.named_parameters()), list(net.alphas.parameters())
    arguments = (losses_of(net, x, y), losses_of(net, other_x, other_y), weights, alphas)
    slopes = {"first": lambda: second_order(*arguments, 0.0), "second": lambda: second_order(*arguments, xi)}
    gradient = slopes.get(order, lambda: by_differences(*arguments, xi))()
    before = [alpha.detach().clone() for alpha in alphas]
    options = DartsOptions(order=order, xi=xi, lr=0.1, weight_decay=0.0)
    task = Darts(10, one_tensor("image"), options)
    engine = engine_of(task, net, Recipe(optimizer="sgd", lr=0.01, momentum=0.0, precision="fp64", epochs=1))
    task.update(Fixed(train={"image": x, "target": y}, validation={"image": other_x, "target": other_y}), engine)
    for old, new, slope in zip(before, alphas, gradient, strict=True):
        moved = slope.abs() > 1e-6  # Adam's first step is its rate, against the gradient
        torch.testing.assert_close((new - old)[moved], -0.1 * slope.sign()[moved], rtol=1e-2, atol=1e-4)
    again, _ = network(3)
    for name, weight in again.alphas.named_parameters():
        weight.data = net.alphas.get_parameter(name).detach().clone()
    own = dict(again.weights.named_parameters())
    slope_w = torch.autograd.grad(losses_of(again, x, y)(own), list(own.values()))
    for (name, weight), part in zip(own.items(), slope_w, strict=True):
        torch.testing.assert_close(weights[name].detach(), (weight - 0.01 * part).detach(), rtol=1e-9, atol=1e-11)


def test_the_by_differences_leaves_running_statistics_to_the_weights_step() -> None:
    found = []
    for order in ("second", "differences"):
        net, (x, y, other_x, other_y) = network(4)
        options = DartsOptions(order=order, xi=0.05, lr=1e-9)  # type: ignore[arg-type]
        task = Darts(10, one_tensor("image"), options)
        engine = engine_of(task, net, Recipe(optimizer="sgd", lr=1e-9, precision="fp64", epochs=1))
        task.update(Fixed(train={"image": x, "target": y}, validation={"image": other_x, "target": other_y}), engine)
        found.append(int(net.weights.stem.norm.num_batches_tracked))  # type: ignore[union-attr, arg-type]
    assert found == [1, 1]


# ---------------------------------------------------------------- the toy


class Edge(nn.Module):
    """One edge of five operations: images (B, 2, 6, 6) -> the same."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1, bias=False)

    def outputs(self, x: Tensor) -> list[Tensor]:
        average = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return [x * 0, x, average, F.max_pool2d(x, 3, 1, 1), self.conv(x)]

    def forward(self, x: Tensor, choices: Any) -> Tensor:
        return sum(weight * out for weight, out in zip(choices[0][0], self.outputs(x), strict=True))  # type: ignore[return-value]


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights, self.alphas = Edge(), Alphas(("cell",), 1, 5)


class Fitting(Darts):
    """The task with a squared error."""

    def training_cost(self, logits_BK: Tensor, target_B: Tensor) -> Tensor:
        return F.mse_loss(logits_BK, target_B)

    def scores(self, logits_BK: Tensor, target_B: Tensor) -> dict[str, Tensor]:
        return {}


@pytest.mark.parametrize("right", [1, 2, 3, 4], ids=["skip", "average", "maximum", "convolution"])
def test_the_right_operation_wins(right: int) -> None:
    """The target is one operation of the input and a tenth of noise."""
    for seed in range(5):
        torch.manual_seed(seed)
        truth, toy = Edge(), Toy()
        task = Fitting(2, one_tensor("image"), DartsOptions(lr=0.02, beta1=0.9, weight_decay=0.0))
        engine = engine_of(task, toy, Recipe(optimizer="sgd", lr=0.05, momentum=0.9, steps=250))

        def batch(of: Edge = truth) -> dict[str, Tensor]:
            x = torch.randn(16, 2, 6, 6)
            with torch.no_grad():
                y = of.outputs(x)[right]
                return {"image": x, "target": y + 0.1 * torch.randn_like(y)}

        for step in range(250):
            engine.step = step
            task.update(Fixed(train=batch(), validation=batch()), engine)
        (mixture_EO,) = toy.alphas()
        assert int(mixture_EO[0].argmax()) == right, (seed, mixture_EO)
        assert float(mixture_EO[0, right].detach()) > 0.3


# ---------------------------------------------------------------- runs


def test_the_players_learn_from_disjoint_parts_in_proportion_to_the_classes(tmp_path: Path) -> None:
    training = lamina.prepare(
        "darts-supernet", {**TINY, "objective": {"name": "darts", "share": 0.3}}, directory=tmp_path, dry=True
    )
    parts = training._parts("train")
    assert list(parts) == ["train", "validation"]
    assert [len(part) for part in parts.values()] == [70, 30]
    counts = [part.targets.bincount(minlength=10) for part in parts.values()]  # type: ignore[union-attr]
    whole = training.source.splits["train"].targets.bincount(minlength=10)
    assert torch.equal(counts[0] + counts[1], whole)
    assert ((counts[1] - 0.3 * whole).abs() <= 1).all()
    assert [*training.streams] == ["train", "validation"]
    again = lamina.prepare("darts-supernet", {**TINY, "seed": 5}, directory=tmp_path, dry=True)._parts("train")
    assert [len(part) for part in again.values()] == [50, 50]


def test_the_players_have_optimisers_of_their_own(tmp_path: Path) -> None:
    training = lamina.prepare(
        "darts-supernet", {**TINY, "objective": {"name": "darts", "lr": 0.01}}, directory=tmp_path, dry=True
    )
    weights, alphas = (training.engine.optimisers[player].optimizer for player in ("weights", "alphas"))
    assert isinstance(weights, torch.optim.SGD)
    assert isinstance(alphas, torch.optim.Adam)
    (group,) = alphas.param_groups
    assert (group["lr"], group["betas"], group["weight_decay"]) == (0.01, (0.5, 0.999), 1e-3)
    assert weights.param_groups[0]["momentum"] == 0.9
    assert training.engine.recipes["alphas"].schedule == "constant"


@pytest.mark.parametrize("objective", [{"name": "darts"}, {"name": "darts", "order": "second", "warmup": 0.25}])
def test_a_search_that_was_stopped_goes_on_to_the_same_bits(tmp_path: Path, objective: dict[str, Any]) -> None:
    options = {**TINY, "objective": objective}
    whole = lamina.prepare("darts-supernet", options, directory=tmp_path, name="whole")
    for _ in whole.events():
        pass
    cut = lamina.prepare("darts-supernet", options, directory=tmp_path, name="cut")
    events = cut.events()
    for event in events:
        if isinstance(event, StepDone) and event.step == 2:
            break
    events.close()
    for _ in lamina.prepare("darts-supernet", options, directory=tmp_path, name="cut", resume=True).events():
        pass
    one, other = (lamina.open_run(tmp_path / name).model.state_dict() for name in ("whole", "cut"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert any("alphas" in name for name in one)


def test_what_cannot_be_searched_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lenet5 can be trained for"):
        lamina.prepare("lenet5", {"data": "digits", "task": "architecture-search"}, directory=tmp_path, dry=True)
    with pytest.raises(UsageError, match="did you mean 'order'"):
        lamina.prepare(
            "darts-supernet", {**TINY, "objective": {"name": "darts", "ordr": 1}}, directory=tmp_path, dry=True
        )
    for wrong in ({"share": 1.0}, {"xi": -1.0}, {"lr": 0.0}, {"order": "third"}, {"warmup": 1.0}, {"epsilon": 0.0}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            lamina.prepare(
                "darts-supernet", {**TINY, "objective": {"name": "darts", **wrong}}, directory=tmp_path, dry=True
            )
    few = {**TINY, "objective": {"name": "darts", "share": 0.05}}
    with pytest.raises(UsageError, match="stream validation: batch size 10 is larger"):
        lamina.prepare("darts-supernet", few, directory=tmp_path, dry=True)
    several: Any = SimpleNamespace(
        objective=SimpleNamespace(name="darts", options=DartsOptions(order="second")), recipe=Recipe(devices=2)
    )
    with pytest.raises(UsageError, match="use --devices 1"):
        make(several)
    with pytest.raises(UsageError, match="darts-supernet takes image data"):
        lamina.prepare("darts-supernet", {**TINY, "data": "iris"}, directory=tmp_path, dry=True)


# ---------------------------------------------------------------- ENAS


def enas(**options: Any) -> Any:
    torch.manual_seed(0)
    return lamina.create_model("enas", width=4, layers=3, nodes=2, controller_width=6, **options)


def test_a_sampled_architecture_has_the_probability_that_is_told() -> None:
    """The probabilities of all architectures of one node add up to one; what is sampled is as frequent as that."""
    torch.manual_seed(0)
    net: Any = lamina.create_model(
        "enas", width=2, layers=1, nodes=1, operations=("skip_connect", "max_pool_3x3"), tanh_constant=3.0
    )
    for weight in net.controller.parameters():
        weight.data.mul_(12)
    with torch.no_grad():
        sampled = net.controller(4000)
    rows = torch.cat([sampled.states_ASJ, sampled.operations_ASJ], 2).flatten(1)
    found, place, counts = rows.unique(dim=0, return_inverse=True, return_counts=True)
    probability = torch.empty(len(found)).scatter_(0, place, sampled.log_probability_A.exp())
    assert len(found) <= 256
    assert float(probability.sum()) <= 1 + 1e-4
    assert float(probability.sum()) > 0.95  # the rare ones were not drawn
    share = counts / 4000
    assert ((share - probability).abs() < 5 * (probability / 4000).sqrt() + 1e-3).all()
    surprise = -(sampled.log_probability_A.mean())
    assert float(surprise) == pytest.approx(float(sampled.entropy_A.mean()), abs=0.1)


def test_plan_and_genotype_are_the_same_choice() -> None:
    net = enas()
    (normal, reduce), genotype = net.controller.most_probable(), net.derive()
    for plan, cell in ((normal, genotype.normal), (reduce, genotype.reduce)):
        assert sum(map(len, plan)) == 4
        edges = [(0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
        pairs = set()
        for (source, to), kinds in zip(edges, plan, strict=True):
            pairs |= {(net.config.operations[kind], source, to) for kind in kinds}
        assert pairs == {(name, source, state) for state, node in enumerate(cell.nodes, 2) for name, source in node}
    assert lamina.create_model(net.derived, **net.derived_options(), width=2, layers=3).genotype == genotype  # type: ignore[union-attr]


def test_the_controller_learns_what_is_rewarded(tmp_path: Path) -> None:
    """With a reward that is the share of one operation, that operation is chosen in the end."""
    net = enas(operation_tanh_reduce=0.3)

    class Rewarded(Enas):
        def reward(self, network: nn.Module, batch: Any, choices: Any) -> Tensor:
            kinds = [kind for cell in choices for edge in cell for kind in edge]
            return torch.tensor(kinds.count(3) / len(kinds))

    task = Rewarded(10, one_tensor("image"), EnasOptions(lr=0.02, samples=10, entropy=0.0))
    engine = Engine(
        Fabric(accelerator="cpu"), task, {"weights": net.weights, "controller": net.controller}, Recipe(steps=60)
    )
    for step in range(60):
        engine.step = step
        torch.manual_seed(step)
        task.controller_step(engine, {})
    assert net.derive().operations.count("max_pool_3x3") >= 6
    assert 0.5 < task.average_reward <= 1  # type: ignore[operator]


def test_a_search_by_enas_goes_on_to_the_same_bits_and_is_evaluated(tmp_path: Path) -> None:
    options = {
        **TINY,
        "model": {"width": 2, "layers": 3, "nodes": 1, "image_size": 8},
        "objective": {"interval": 2, "samples": 2, "share": 0.3},
    }
    for _ in lamina.prepare("enas", options, directory=tmp_path, name="whole").events():
        pass
    events = lamina.prepare("enas", options, directory=tmp_path, name="cut").events()
    for event in events:
        if isinstance(event, StepDone) and event.step == 3:
            break
    events.close()
    for _ in lamina.prepare("enas", options, directory=tmp_path, name="cut", resume=True).events():
        pass
    whole, cut = lamina.open_run(tmp_path / "whole"), lamina.open_run(tmp_path / "cut")
    one, other = whole.model.state_dict(), cut.model.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert whole.evaluate("validation")["accuracy"] == pytest.approx(whole.history[-1]["validation_accuracy"])
    assert whole.history[-1]["train_reward"] >= 0


def test_enas_is_for_models_with_a_controller(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="dartssupernet has no controller"):
        lamina.prepare("darts-supernet", {**TINY, "objective": "enas"}, directory=tmp_path, dry=True)
    with pytest.raises(UsageError, match="'none' is not one of them"):
        lamina.create_model("enas", operations=("none", "skip_connect"))
