"""Another package's architectures, registered by an entry point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import lamina
from lamina import registry
from lamina.cli.main import main
from plugin_packages import forget, write_package

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

    def put(package: str, source: str) -> None:
        write_package(tmp_path, package, {"lamina.models": {package: package}}, {f"{package}.py": source})
        monkeypatch.syspath_prepend(str(tmp_path))
        forget()

    yield put
    monkeypatch.undo()
    forget(tmp_path)


def source(name: str, aliases: tuple[str, ...] = ()) -> str:
    return SOURCE.replace("NAME", repr(name)).replace("ALIASES", repr(aliases))


def test_its_variants_are_found_like_our_own(install: Install) -> None:
    install("tiny_plugin", source("tiny-net", ("tn1",)))
    assert lamina.list_models("tiny*") == ["tiny-net"]
    assert {"mlp", "lenet5", "tiny-net"} <= set(lamina.list_models(task="classification"))
    assert lamina.card("TinyNet").title == "Tiny"
    assert registry.canonical("TN-1") == "tiny-net"
    assert lamina.create_model("tiny_net", num_classes=5)(torch.zeros(4, 3)).shape == (4, 5)
    assert registry.package("tiny-net") == "tiny_plugin"
    with pytest.raises(lamina.UsageError, match="did you mean 'tiny-net'"):
        lamina.card("tiny-nt")


def test_it_is_gone_when_the_package_is() -> None:
    with pytest.raises(lamina.UsageError):
        lamina.card("tiny-net")


@pytest.mark.parametrize(("name", "aliases"), [("lenet5", ()), ("Le-Net_5", ()), ("tiny-net", ("LeNet-5",))])
def test_it_cannot_take_a_name_of_ours(install: Install, name: str, aliases: tuple[str, ...]) -> None:
    install("tiny_plugin", source(name, aliases))
    assert type(lamina.create_model("lenet5")).__name__ == "LeNet5"
    assert ("tiny-net" in lamina.list_models()) == (name == "tiny-net")
    spelling = (name, *aliases)[-1]
    assert registry.faults() == (
        f"package 'tiny_plugin' brings the model '{spelling}', which lamina has itself: lamina's is used",
    )


def test_of_a_name_that_two_packages_have_both_are_named(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("tiny_one", source("tiny-net", ("tn1", "other")))
    install("tiny_two", source("Tiny_Net"))
    install("tiny_three", source("third-net", ("other",)))
    both = "packages 'tiny_{}' and 'tiny_{}' both bring the model '{}': uninstall one"
    for name in ("tiny-net", "TinyNet", "tn1"):
        with pytest.raises(lamina.UsageError) as raised:
            lamina.create_model(name)
        assert str(raised.value) == both.format("one", "two", "Tiny_Net")
    with pytest.raises(lamina.UsageError) as raised:
        lamina.create_model("other")
    assert str(raised.value) == both.format("one", "three", "other")
    assert lamina.create_model("third-net")(torch.zeros(1, 3)).shape == (1, 2), "by its own name"
    assert main(["models", "*net*"]) == 0
    out, err = capsys.readouterr()
    assert {"tiny-net", "third-net", "lenet5"} <= {line.split()[0] for line in out.splitlines()}
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import there_is_no_such_module", "the models of package 'tiny_plugin' cannot be loaded: ModuleNotFoundError"),
        ("raise SystemError('no GPU')", "the models of package 'tiny_plugin' cannot be loaded: SystemError: no GPU"),
        ("VARIANT = 1", "the models of package 'tiny_plugin' cannot be loaded: AttributeError"),
        ("VARIANTS = {'tiny-net': 1}", "the model 'tiny-net' of package 'tiny_plugin' is of type int, not Variant"),
    ],
    ids=["import", "error", "no table", "no rows"],
)
def test_one_that_cannot_be_used_is_named_and_the_others_work(
    install: Install, text: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    install("tiny_plugin", text)
    assert "lenet5" in lamina.list_models()
    assert lamina.create_model("lenet5") is not None
    with pytest.raises(lamina.UsageError, match=r"unknown model 'tony-nyt'.*; the model") as raised:
        lamina.create_model("tony-nyt")
    assert reason in str(raised.value)
    assert main(["models"]) == 0
    out, err = capsys.readouterr()
    assert "\nlenet5 " in out
    assert err.startswith(f"note: {reason}")
    assert len(err.splitlines()) == 1
