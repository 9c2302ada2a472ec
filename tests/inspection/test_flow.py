"""The drawn data flow of a model: its boxes and edges, against nets whose flow is known."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn

import lamina
from lamina.cli.main import main
from lamina.inspection.flow import INPUT, OUTPUT, Flow, Graph
from lamina.inspection.subjects import subjects
from lamina.registry import list_models, variant
from lamina.report.architecture import draw_graph, draw_sheet


def labels(graph: Graph) -> list[str]:
    return [f"{box.label} x {box.repeats}" if box.repeats > 1 else box.label for box in graph.boxes]


def edges(graph: Graph) -> set[tuple[str, str]]:
    names = {INPUT: "in", OUTPUT: "out"} | {i: box.names[0] for i, box in enumerate(graph.boxes)}
    return {(names[a], names[b]) for a, b in graph.edges}


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.conv(x))


def test_a_shortcut_is_an_edge_past_the_branch() -> None:
    assert edges(Flow(Residual(4), (4, 8, 8)).graph()) == {
        ("in", "conv"),
        ("in", "act"),
        ("conv", "act"),
        ("act", "out"),
    }


def test_layers_that_only_follow_are_one_box() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
    graph = Flow(net, (3, 10, 10)).graph()
    assert labels(graph) == ["Conv2d, BatchNorm2d, ReLU", "MaxPool2d"]
    assert graph.boxes[0].parameters == 3 * 8 * 9 + 8 + 16
    assert graph.boxes[0].output_shape == (8, 8, 8)
    assert graph.boxes[1].receptive_field == (4, 4)


def test_an_activation_behind_a_sum_is_not_the_convolution_s() -> None:
    assert labels(Flow(Residual(4), (4, 8, 8)).graph()) == ["Conv2d", "ReLU"]


def test_equal_blocks_in_a_row_are_one_box_and_opened_in_a_drawing_of_their_own() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), *(Residual(4) for _ in range(30)))
    whole, block = Flow(net, (3, 8, 8)).drawings()
    assert labels(whole) == ["Conv2d", "Residual x 30"]
    assert whole.boxes[1].receptive_field == (61, 61)
    assert block.root == "1"
    assert labels(block) == ["Conv2d", "ReLU"]
    assert (INPUT, 1) in block.edges


def test_equal_layers_side_by_side_are_not_repeats() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(8, 8) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            return (self.query(x) @ self.key(x).transpose(1, 2)).softmax(-1) @ self.value(x)

    graph = Flow(Heads(), (5, 8)).graph()
    assert labels(graph) == ["Linear", "Linear", "matrix product", "Linear", "matrix product"]
    assert graph.edges == {(INPUT, 0), (INPUT, 1), (INPUT, 3), (0, 2), (1, 2), (2, 4), (3, 4), (4, OUTPUT)}
    assert [box.output_shape for box in graph.boxes if box.kind == "product"] == [(5, 5), (5, 8)]


def test_a_state_from_step_to_step_is_a_loop() -> None:
    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.GRUCell(3, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            h = x.new_zeros(len(x), 4)
            for t in range(x.shape[1]):
                h = self.cell(x[:, t], h)
            return self.head(h)

    graph = Flow(Cell(), (6, 3)).graph()
    assert graph.edges == {(INPUT, 0), (0, 0), (0, 1), (1, OUTPUT)}
    assert "stroke-dasharray" in draw_graph(graph, "cell")


def test_a_shared_layer_called_twice_counts_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.last = nn.Linear(4, 4), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.layer(self.layer(x)))

    graph = Flow(Twice(), (4,)).graph()
    assert graph.parameters == 25
    assert (0, 0) in graph.edges


def test_what_is_written_in_place_is_passed_on() -> None:
    class Filled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(4, 4), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            both = x.new_zeros(len(x), 8)
            both[:, :4] = self.one(x)
            both[:, 4:] = x
            return self.two(both)

    assert Flow(Filled(), (4,)).graph().edges == {(INPUT, 0), (INPUT, 1), (0, 1), (1, OUTPUT)}


def test_the_model_is_left_as_it_was() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    list(Flow(net, (4,)).drawings())
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not net[0]._forward_hooks


@pytest.mark.parametrize(
    "name", ["lenet5", "resnet18", "gpt2", "dcgan", "stylegan-32", "patchtst", "transformer-small"]
)
def test_boxes_hold_all_parameters_and_all_are_reached(name: str) -> None:
    row = variant(name)
    with torch.device("meta"):
        model = lamina.create_model(name)
    for _, module, given in subjects(row, model, row.config):
        for graph in Flow(module, given).drawings():
            part = module.get_submodule(graph.root)
            assert graph.parameters == sum(weight.numel() for weight in part.parameters() if weight.requires_grad)
            assert any(b == OUTPUT for _, b in graph.edges)
            assert any(a == INPUT for a, _ in graph.edges)
            leaves = {a for a, _ in graph.edges}
            assert leaves >= set(range(len(graph.boxes))), "a box whose output nobody reads"


def test_every_architecture_has_players_that_can_be_called() -> None:
    assert "lenet5" in list_models()
    row = variant("dcgan")
    with torch.device("meta"):
        model = lamina.create_model("dcgan")
    assert [player for player, _, _ in subjects(row, model, row.config)] == ["generator", "discriminator"]


def test_a_drawing_is_well_formed_whatever_names_hold() -> None:
    net = nn.Sequential()
    net.add_module("<script>alert(1)</script>", nn.Linear(3, 3))
    net.add_module("last", nn.Linear(3, 2))
    svg = draw_sheet([('a "net" & <more>', list(Flow(net, (3,)).drawings()))])
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    assert "<script" not in svg
    drawing = ElementTree.fromstring(draw_graph(Flow(net, (3,)).graph(), "net"))
    assert drawing.get("role") == "img"
    assert "12 parameters" in str(drawing.get("aria-label"))


def test_info_draws(tmp_path: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(str(tmp_path))
    assert main(["info", "gan-toy", "--figure", "toy.svg"]) == 0
    text = open("toy.svg", encoding="utf-8").read()  # noqa: SIM115
    assert "generator" in text
    assert "discriminator" in text
    for name, word in (("toy.png", ".svg"), ("nowhere/toy.svg", "nowhere")):
        assert main(["info", "gan-toy", "--figure", name]) == 2
        assert word in capsys.readouterr().err
