"""The door to every architecture: names, options, cards, and the index that answers without torch."""

from __future__ import annotations

import dataclasses
import inspect
import json
import runpy
import subprocess
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
import torch

import lamina
from lamina import registry
from lamina.cards import Card
from lamina.errors import UsageError
from lamina.layers.image_classifier import check_least
from waiting import CHILD_SECONDS

VARIANTS = lamina.list_models()
PACKAGE = Path(lamina.__file__).parent


def test_the_index_is_what_the_model_files_state() -> None:
    stated = json.loads(json.dumps(registry.build_index()))
    kept = json.loads((resources.files("lamina.cards") / "index.json").read_text(encoding="utf-8"))
    assert kept == stated, "cards/index.json is not what the model files state: run make index"


@pytest.mark.parametrize("name", VARIANTS)
def test_the_card_from_the_index_is_the_card_of_the_model_file(name: str) -> None:
    listed = replace(lamina.card(name), published=())  # what is on the hub is in a table of its own
    assert listed == registry.variant(name).card


@pytest.mark.parametrize("name", VARIANTS)
def test_the_facts_of_a_card_are_there(name: str) -> None:
    card = lamina.card(name)
    for fact in ("title", "summary", "paper", "authors", "reference", "licence", "recipe"):
        value = getattr(card, fact)
        assert value, f"{fact} is empty"
        assert value == value.strip()
    assert 1940 < card.year < 2030
    assert card.inputs
    assert card.tasks
    said = sys.modules[registry.variant(name).build.__module__].__doc__ or ""
    assert card.differences or "Differences from the paper: none" in said, "say where it departs from the paper"
    for row in card.reported:
        assert row.dataset
        assert row.source


@pytest.mark.parametrize("name", VARIANTS)
def test_a_constructor_takes_a_frozen_config_and_nothing_else(name: str) -> None:
    row = registry.variant(name)
    config, *parts = inspect.signature(row.build).parameters.values()
    assert config.name == "config"
    assert not parts or (row.parts is not None and all(part.default is None for part in parts))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(row.config, dataclasses.fields(row.config)[0].name, None)
    assert all(field.kw_only for field in dataclasses.fields(row.config))
    assert all(field.default is not dataclasses.MISSING for field in dataclasses.fields(row.config))


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("models/*.py")), ids=lambda path: path.stem)
def test_a_model_file_is_read_in_one_sitting(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 500, f"{path.name} has {len(lines)} lines"
    if path.stem != "__init__":
        head = "\n".join(lines[:30])
        for section in ("Paper", "What was new:", "Differences from the paper:", "Legend:"):
            assert section in head, f"{path.name} does not state {section}"


@pytest.mark.parametrize("spelling", ["lenet5", "LeNet5", "LENET-5", "le_net_5", "lenet", "LeNet"])
def test_spellings_and_aliases(spelling: str) -> None:
    assert registry.canonical(spelling) == "lenet5"
    assert lamina.card(spelling).title == "LeNet-5 (modern)"
    assert type(lamina.create_model(spelling)).__name__ == "LeNet5"


def test_the_names_of_torchvision_and_timm_are_aliases() -> None:
    """Of every model that parity is shown with, but for those that options make."""
    rows = runpy.run_path(str(PACKAGE.parents[1] / "benchmarks" / "parity" / "rows.py"))["ROWS"]
    plain = {row.theirs: row.ours for row in rows if not {"alpha"} & set(row.options)}
    assert len(plain) > 40
    assert {theirs: registry.canonical(theirs) for theirs in plain} == plain


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lenet6", "unknown model 'lenet6'; did you mean 'lenet5'?"),
        ("mlpp", "unknown model 'mlpp'; did you mean 'mlp'?"),
        ("multilayer-perceptrons", "unknown model 'multilayer-perceptrons'; did you mean 'multilayer-perceptron'?"),
    ],
)
def test_an_unknown_name_is_told_the_nearest(name: str, message: str) -> None:
    for ask in (lamina.card, lamina.create_model, registry.variant, registry.canonical):
        with pytest.raises(UsageError) as caught:
            ask(name)
        assert str(caught.value) == message
        assert caught.value.exit_code == 2


def test_a_name_that_is_like_none_is_told_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown model 'qqqq'; known: adain, .*"):
        lamina.card("qqqq")


def test_an_unknown_option_is_told_the_nearest() -> None:
    with pytest.raises(
        UsageError, match=r"^unknown option of LeNet-5 \(modern\) 'num_clases'; did you mean 'num_classes'\?$"
    ):
        lamina.create_model("lenet5", num_clases=3)


def test_options_replace_the_fields_of_the_config() -> None:
    net = lamina.create_model("lenet5", num_classes=26, in_channels=3)
    assert (net.config.num_classes, net.config.in_channels, net.config.image_size) == (26, 3, 32)
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 26)
    assert registry.variant("lenet5").config.num_classes == 10  # the variant's own config is as it was


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("*", ["mlp", "lenet5"]),
        ("le*", ["lenet5"]),
        ("LE-N*", ["lenet5"]),
        ("?lp", ["mlp"]),
        ("[a-l]*", ["lenet5"]),
        ("[!a-m]*", []),
        ("x*", []),
    ],
)
def test_patterns(pattern: str, wanted: list[str]) -> None:
    found = lamina.list_models(pattern)
    assert [name for name in found if name in ("mlp", "lenet5")] == wanted
    assert found == sorted(found, key=lambda name: (lamina.card(name).year, name))


def test_tasks() -> None:
    for name in VARIANTS:
        for task in lamina.card(name).tasks:
            assert name in lamina.list_models(task=task)
    assert "lenet5" not in lamina.list_models("m*", task="regression")
    with pytest.raises(UsageError, match="unknown task 'clasification'; did you mean 'classification'"):
        lamina.list_models(task="clasification")


def test_names_cards_and_misspelt_names_answer_without_torch() -> None:
    program = """
import sys
import lamina
assert "lenet5" in lamina.list_models("le*", task="classification")
assert lamina.card("LeNet-5").year == 1998
try:
    lamina.create_model("lenet6")
except lamina.UsageError as error:
    print(error)
heavy = [name for name in ("torch", "numpy", "pandas", "matplotlib") if name in sys.modules]
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=CHILD_SECONDS)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "unknown model 'lenet6'; did you mean 'lenet5'?\n"


def test_two_cards_cannot_share_a_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = dict(registry._cards())
    other: Card = dataclasses.replace(cards["mlp"], aliases=("Le-Net-5",))
    monkeypatch.setattr(registry, "_cards", lambda: {**cards, "mlp": other})
    registry._names.cache_clear()
    try:
        with pytest.raises(lamina.LaminaError, match=r"names both (mlp and lenet5|lenet5 and mlp)"):
            registry.canonical("mlp")
    finally:
        registry._names.cache_clear()


def test_one_variant_cannot_be_in_two_files(monkeypatch: pytest.MonkeyPatch) -> None:
    import lamina.models.lenet5
    import lamina.models.mlp

    monkeypatch.setitem(lamina.models.mlp.VARIANTS, "lenet5", lamina.models.lenet5.VARIANTS["lenet5"])
    with pytest.raises(lamina.LaminaError, match=r"variant 'lenet5' is in mlp.py and in lenet5.py"):
        registry.build_index()


def test_writing_the_index_changes_nothing_when_it_is_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = (resources.files("lamina.cards") / "index.json").read_text(encoding="utf-8")
    monkeypatch.setattr(registry.resources, "files", lambda _package: tmp_path)
    registry.write_index()
    assert (tmp_path / "index.json").read_text(encoding="utf-8") == kept, "run make index"


def test_the_old_name_of_the_differentiable_method_still_works() -> None:
    card = lamina.card("perceptron")
    assert card.differentiable_method == "score"
    with pytest.warns(DeprecationWarning, match="use differentiable_method"):
        assert dataclasses.replace(card, sloped="forward").differentiable_method == "forward"
    entry = json.loads(json.dumps(dataclasses.asdict(card)))
    entry["sloped"] = entry.pop("differentiable_method")  # as cards were saved before
    assert registry._card_from(entry) == card


def test_the_old_name_of_the_smallest_image_still_works() -> None:
    net = lamina.create_model("vgg11", image_size=32, widths=(4, 4, 4, 4, 4), hidden=4)
    with pytest.warns(DeprecationWarning, match="use min_size"):
        assert net.least == net.min_size == 32
    with pytest.warns(DeprecationWarning, match="use min_size"):
        net.least = 40
    assert net.min_size == 40
    with (
        pytest.warns(DeprecationWarning, match="use check_min_size"),
        pytest.raises(ValueError, match="at least 8 x 8"),
    ):
        check_least("a net", 7, 8)
