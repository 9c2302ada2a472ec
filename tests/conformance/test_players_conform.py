"""Every check runs on each player of a model as on a variant, and on a model of parts as on any other."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import toy_package

from lamina import registry
from lamina.cards import Variant
from lamina.conformance import check_meta, checks, players_of, smallest_of_each_architecture
from lamina.conformance.__main__ import main, outcome
from lamina.conformance.harness import variant_of
from lamina.conformance.page import parse
from lamina.errors import UsageError

pytestmark = pytest.mark.usefixtures("toys")
GAN = toy_package.VARIANTS["toy-gan"]


def test_the_page_has_every_player(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["toy-gan", "toy-parts", "--out", str(tmp_path / "page.md")]) == 0, capsys.readouterr().err
    results = parse(tmp_path / "page.md")
    assert list(results) == ["toy-gan/generator", "toy-gan/critic", "toy-parts"]
    passed = {title for title, (mark, _) in results["toy-gan/critic"].items() if mark == "pass"}
    assert {"meta", "backward", "odd sizes", "wrong shape", "channels last", "bf16", "export"} <= passed
    passed = {title for title, (mark, _) in results["toy-gan/generator"].items() if mark == "pass"}
    assert {"meta", "forward", "backward", "batch independent", "state dict", "export"} <= passed


@pytest.mark.parametrize("player", ["generator", "critic"])
@pytest.mark.parametrize("small", [{}, {"image_size": 16, "width": 5}])
def test_a_player_that_takes_one_tensor_needs_no_example(player: str, small: dict[str, int]) -> None:
    """Noise is not an image, whatever the size of images is."""
    row = replace(GAN, players={"generator": None, "critic": None}, small=small).player(player)
    found = {title: outcome(check, row) for title, check in checks().items() if "compile" not in title}
    assert [f"{title}: {why}" for title, (mark, why) in found.items() if mark == "FAIL"] == []
    assert found["wrong shape"][0] == found["meta"][0] == "pass"


def test_a_wrong_number_on_the_card_is_found() -> None:
    for key in ("parameters", "macs"):
        numbers = dict(getattr(GAN.card, key))
        numbers["critic"] += 1
        row = replace(GAN, card=replace(GAN.card, **{key: numbers}))
        check_meta(row.player("generator"))
        with pytest.raises(AssertionError, match=f"{numbers['critic']:,}|{numbers['critic']}"):
            check_meta(row.player("critic"))


def test_players_by_name() -> None:
    assert players_of("toy-gan") == ["toy-gan/generator", "toy-gan/critic"]
    assert players_of("toy-parts") == ["toy-parts"]
    assert set(players_of("toy-gan")) <= set(smallest_of_each_architecture())
    assert variant_of("toy-gan/critic").card.parameters == 65 * 12 + 13
    with pytest.raises(UsageError, match="unknown player of toy-gan 'critc'; did you mean 'critic'"):
        variant_of("toy-gan/critc")


def test_a_card_of_players_survives_the_index() -> None:
    """The torch-free index is JSON, which has no tuples."""
    entry = json.loads(json.dumps(asdict(GAN.card)))
    assert registry._card_from(entry) == GAN.card


def test_parts_are_built_by_the_registry_as_the_config_says() -> None:
    model = registry.create_model("toy-parts", width=7, num_classes=3)
    assert type(model.encoder) is type(model.head) is type(registry.create_model("mlp", in_features=2))
    assert (model.encoder.config.hidden, model.head.config.in_features, model.head.config.num_classes) == ((7,), 7, 3)
    with pytest.raises(UsageError, match="unknown model 'mpl'; did you mean 'mlp'"):
        registry.create_model("toy-parts", encoder="mpl")


def test_a_composite_may_have_players() -> None:
    """Both at once: each player is cut out of a model that the registry put together."""
    row: Variant = replace(
        toy_package.VARIANTS["toy-parts"],
        players={"encoder": None, "head": None},
        card=replace(
            toy_package.VARIANTS["toy-parts"].card,
            input={"encoder": (64,), "head": (20,)},
            parameters={"encoder": 65 * 20, "head": 21 * 10},
            macs={"encoder": 64 * 20, "head": 20 * 10},
        ),
    )
    for player in row.players:
        check_meta(row.player(player))
