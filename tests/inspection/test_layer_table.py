"""The table of layers: its totals are the card's, its rows are sums done by hand, and the model stays as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import lamina
from lamina import registry
from lamina.conformance import smallest_of_each_architecture
from lamina.conformance.harness import variant_of
from lamina.inspection.layers import LayerRow, layer_table, total

# One of each architecture, and of each kind of layer that the smallest of an architecture has not.
VARIANTS = [*smallest_of_each_architecture(), "gru-lm", "lstm-lm-small", "resnet50", "mobilenet-v3-large"]


@pytest.mark.parametrize("name", VARIANTS)
def test_the_totals_are_those_of_the_card(name: str) -> None:
    row = variant_of(name)
    with torch.device("meta"):
        model = registry.build(row, row.config)
    whole = total(layer_table(model, row.input_shape if row.example is None else row.example(row.config, 2)))
    assert (whole.parameters, whole.macs) == (row.card.parameters, row.card.macs)


def test_the_rows_of_lenet5() -> None:
    rows = layer_table(lamina.create_model("lenet5"), (1, 32, 32))
    found = [(row.name, row.type, row.output_shape, row.parameters, row.macs) for row in rows if row.parameters]
    assert found == [
        ("stage1.0", "Conv2d", (6, 28, 28), 156, 28 * 28 * 6 * 25),
        ("stage2.0", "Conv2d", (16, 10, 10), 2_416, 10 * 10 * 16 * 6 * 25),
        ("c5.1", "Linear", (120,), 48_120, 400 * 120),
        ("f6.1", "Linear", (84,), 10_164, 120 * 84),
        ("head", "Linear", (10,), 850, 840),
    ]
    assert rows[1] == LayerRow(
        name="stage1.1", type="Tanh", output_shape=(6, 28, 28), parameters=0, macs=0, receptive_field=(5, 5)
    )


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (nn.Conv2d(6, 12, 3), (6, 10, 10), 8 * 8 * 12 * 6 * 9),
        (nn.Conv2d(6, 12, 3, groups=3), (6, 10, 10), 8 * 8 * 12 * 2 * 9),
        (nn.Conv2d(6, 6, 3, groups=6, stride=2, padding=1), (6, 10, 10), 5 * 5 * 6 * 9),
        (nn.ConvTranspose2d(6, 4, 4, stride=2, padding=1), (6, 10, 10), 10 * 10 * 6 * 4 * 16),
        (nn.Conv1d(3, 5, 7), (3, 20), 14 * 5 * 3 * 7),
        (nn.Linear(8, 4), (7, 8), 7 * 8 * 4),
        (nn.LSTM(3, 4, batch_first=True), (5, 3), 5 * 16 * (3 + 4)),
        (nn.GRU(3, 4, batch_first=True), (5, 3), 5 * 12 * (3 + 4)),
        (nn.BatchNorm2d(6), (6, 10, 10), 0),
    ],
)
def test_multiply_adds_by_hand(layer: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    assert total(layer_table(layer, shape)).macs == macs


class Attention(nn.Module):
    """One head, written out: the products belong to the module that does them, not to its linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)

    def forward(self, x_BTD: Tensor) -> Tensor:
        q, k, v = self.qkv(x_BTD).chunk(3, dim=-1)
        out: Tensor = (q @ k.transpose(1, 2)).softmax(-1) @ v
        return out


def test_products_outside_any_layer_belong_to_the_module_that_does_them() -> None:
    rows = {row.name: row for row in layer_table(nn.Sequential(Attention()), (5, 8))}
    assert rows["0.qkv"].macs == 5 * 8 * 24
    assert rows["0"].macs == 2 * 5 * 5 * 8
    assert rows["0"].type == "Attention"
    assert list(rows) == ["0", "0.qkv"]


def test_torch_attention_counts_all_its_parameters_once() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    whole = total(layer_table(layer, (5, 8)))
    assert whole.parameters == sum(weight.numel() for weight in layer.parameters())
    assert whole.macs == 5 * (8 * 24 + 8 * 8 + 2 * 8 * 16) + 2 * 2 * 5 * 5 * 4


class Shared(nn.Module):
    """One layer used twice, one activation used twice, a tied weight, a frozen and an unused layer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.act = nn.Linear(4, 4), nn.ReLU()
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.linear.weight
        self.frozen = nn.Linear(4, 3).requires_grad_(False)
        self.unused = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.linear(self.act(self.linear(x))))
        return self.frozen(self.tied(x)).view(-1, 3)


def test_what_is_shared_counts_once_and_what_is_calculated_counts_every_time() -> None:
    rows = {row.name: row for row in layer_table(Shared(), (4,))}
    assert (rows["linear"].parameters, rows["linear"].macs) == (20, 32)
    assert (rows["tied"].parameters, rows["tied"].macs) == (4, 16)
    assert (rows["frozen"].parameters, rows["frozen"].macs) == (0, 12)
    assert (rows["unused"].parameters, rows["unused"].macs, rows["unused"].output_shape) == (10, 0, None)
    assert list(rows) == ["linear", "act", "tied", "frozen", "unused"]


def test_layers_come_in_the_order_in_which_they_are_called() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second, self.first = nn.Linear(5, 2), nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.second(self.first(x))
            return out

    assert [row.name for row in layer_table(Backwards(), (4,))] == ["first", "second"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)),
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=None)).double(),
        lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
        lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)),
    ],
)
def test_the_model_is_left_as_it_was(make: Callable[[], nn.Module]) -> None:
    net = make().train()
    next(net.parameters()).grad = torch.ones_like(next(net.parameters()))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    random_state = torch.get_rng_state()
    assert total(layer_table(net, (3, 8, 8))).macs == 6 * 6 * 4 * 3 * 9
    assert modes == [module.training for module in net.modules()]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(value.device.type == "cpu" for value in net.state_dict().values())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert next(net.parameters()).grad is not None
    assert torch.equal(torch.get_rng_state(), random_state)


def test_a_wrong_shape_is_the_model_s_own_error() -> None:
    with pytest.raises(ValueError, match=r"expected images of shape \(batch, 1, 32, 32\), got \(1, 3, 32, 32\)"):
        layer_table(lamina.create_model("lenet5"), (3, 32, 32))


def test_tokens_are_given_by_their_dtype() -> None:
    net = nn.Sequential(nn.Embedding(20, 6), nn.Linear(6, 20))
    rows = layer_table(net, (7,), dtype=torch.int64)
    assert [(row.output_shape, row.parameters, row.macs) for row in rows] == [((7, 6), 120, 0), ((7, 20), 140, 840)]


def test_keyword_arguments_are_given_as_they_are_called_with() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.out = nn.Embedding(5, 3), nn.Linear(3, 2)

        def forward(self, *, tokens_BT: Tensor, offset_B3: Tensor) -> Tensor:
            return self.out(self.table(tokens_BT) + offset_B3[:, None])  # type: ignore[no-any-return]

    given = {"tokens_BT": torch.zeros(6, 4, dtype=torch.int64), "offset_B3": torch.zeros(6, 3)}
    rows = layer_table(Both(), given)
    assert [(row.name, row.output_shape, row.macs, row.receptive_field) for row in rows] == [
        ("table", (4, 3), 0, None),
        ("out", (4, 2), 4 * 3 * 2, None),
    ]


def test_a_large_model_costs_neither_its_memory_nor_its_time() -> None:
    with torch.device("meta"):
        net = nn.Sequential(*(nn.Linear(100_000, 100_000, bias=False) for _ in range(3)))
    assert total(layer_table(net, (100_000,))).macs == 3 * 10**10
