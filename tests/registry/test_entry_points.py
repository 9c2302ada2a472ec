"""Another package's architectures, registered by an entry point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import lamina
from lamina import registry

SOURCE = """
from dataclasses import dataclass
from torch import nn
from lamina.cards import Card, Variant

@dataclass(frozen=True, kw_only=True)
class TinyConfig:
    num_classes: int = 2

class Tiny(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.head = nn.Linear(3, config.num_classes)
    def forward(self, x):
        return self.head(x)

VARIANTS = {NAME: Variant(build=Tiny, config=TinyConfig(), card=Card(
    title="Tiny", summary="A test.", paper="none", authors="nobody", year=2020, inputs=("table",),
    tasks=("classification",), input=(3,), parameters=8, macs=6, reference="none", recipe="mlp", aliases=ALIASES))}
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a package with one module on the path, as pip would; forget it afterwards."""
    caches = (registry._extra, registry._cards, registry._names)

    def put(package: str, source: str) -> None:
        (tmp_path / f"{package}.py").write_text(source)
        facts = tmp_path / f"{package}-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text(f"[lamina.models]\n{package} = {package}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        for cache in caches:
            cache.cache_clear()

    yield put
    for cache in caches:
        cache.cache_clear()


def source(name: str, aliases: tuple[str, ...] = ()) -> str:
    return SOURCE.replace("NAME", repr(name)).replace("ALIASES", repr(aliases))


def test_its_variants_are_found_like_our_own(install: Install) -> None:
    install("tiny_plugin_a", source("tiny-net", ("tn1",)))
    assert lamina.list_models("tiny*") == ["tiny-net"]
    assert {"mlp", "lenet5", "tiny-net"} <= set(lamina.list_models(task="classification"))
    assert lamina.card("TinyNet").title == "Tiny"
    assert registry.canonical("TN-1") == "tiny-net"
    assert lamina.create_model("tiny_net", num_classes=5)(torch.zeros(4, 3)).shape == (4, 5)
    with pytest.raises(lamina.UsageError, match="did you mean 'tiny-net'"):
        lamina.card("tiny-nt")


def test_it_is_gone_when_the_package_is() -> None:
    with pytest.raises(lamina.UsageError):
        lamina.card("tiny-net")


def test_it_cannot_take_a_name_of_ours(install: Install) -> None:
    install("tiny_plugin_b", source("lenet5"))
    with pytest.raises(lamina.LaminaError, match="package 'tiny_plugin_b' registers the model 'lenet5', which exists"):
        lamina.list_models()


def test_it_cannot_take_another_spelling_of_ours(install: Install) -> None:
    install("tiny_plugin_c", source("Le-Net_5"))
    with pytest.raises(lamina.LaminaError, match="names both"):
        lamina.create_model("lenet5")


def test_two_packages_cannot_take_one_name(install: Install) -> None:
    install("tiny_plugin_d", source("tiny-net"))
    install("tiny_plugin_e", source("tiny-net"))
    with pytest.raises(lamina.LaminaError, match="registers the model 'tiny-net', which exists already"):
        lamina.list_models()


@pytest.mark.parametrize("text", ["import there_is_no_such_module", "VARIANT = 1"], ids=["import", "table"])
def test_a_package_that_cannot_be_loaded_is_named(install: Install, text: str) -> None:
    package = "tiny_plugin_f" if "import" in text else "tiny_plugin_g"
    install(package, text)
    with pytest.raises(lamina.LaminaError, match=f"the models of package '{package}' cannot be loaded"):
        lamina.list_models()
