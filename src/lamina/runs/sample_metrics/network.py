"""Metric networks: what turns samples into features. Never trained here, never saved with a run.

Legend: N samples, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lamina.data.protocols import Preprocess
from lamina.errors import UsageError, nearest, unknown
from lamina.runs.config import list_recipes, published
from lamina.runs.evaluation import like, predicting
from lamina.runs.folders import find_folder
from lamina.runs.opened import Opened
from lamina.runs.prediction import AT_ONCE, batches_of
from lamina.runs.sample_metrics.inception import (
    ORIGINAL_OUTPUTS,
    SIDE,
    TORCHVISION_OUTPUTS,
    Inception,
)
from lamina.runs.sample_metrics.inception import resized as to_inception
from lamina.runs.weights import digest
from lamina.weights.reading import read_state_dict

HASH = 4
"""digits of a network's hash in the names of metrics"""


@dataclass(frozen=True)
class Seen:
    """What a metric network makes of samples, in double precision."""

    features_ND: Tensor
    probabilities_NK: Tensor | None
    """None: the network does not classify"""


class MetricNetwork(Protocol):
    """Turns samples, as ``Preprocess.undo`` makes them, into features."""

    @property
    def label(self) -> str:
        """Its name with its hash, and its layer unless it is the usual one: "lenet5-fashion@1a2b"."""

    def resized(self, preprocess: Preprocess) -> str:
        """The size that samples of ``preprocess`` are brought to: "resize 32"; empty where they keep theirs. Raises
        UsageError for samples that it cannot take."""

    def see(self, items: Sequence[Any]) -> Seen: ...


def open_network(name: str, layer: str | None, runs: Path) -> MetricNetwork:
    """The network called ``name``: a run by its path or its name in the folder ``runs``, a file of Inception weights,
    or a published recipe, of which there is a run of the same name.

    Raises UsageError.
    """
    folder = find_folder(name, runs)
    if folder is not None and (folder / "config.yaml").is_file():
        return RunNetwork.open(Opened(folder), layer)
    if is_recipe(name):
        raise UsageError(
            f"metric network {name}: this recipe of ours has no run in {runs} yet; train it, once, with "
            f"lamina train --config {name} --name {name} --runs {runs}"
        )
    path = Path(name).expanduser()
    if path.is_file():
        return InceptionNetwork.open(path, layer)
    if path.exists():
        raise UsageError(f"metric network {name}: the folder is no run")
    known = [*(path.parent.name for path in runs.glob("*/config.yaml")), *list_recipes()]
    raise unknown("metric network", name, known)


def is_recipe(name: str) -> bool:
    """Whether a published recipe is called so that says what is trained on which data."""
    return name in list_recipes() and {"name", "data"} <= published(name).keys()


@dataclass(frozen=True)
class RunNetwork:
    """A run's model: features are what its output layer sees, or the output of a module."""

    run: Opened
    layer: str | None
    label: str

    @classmethod
    def open(cls, run: Opened, layer: str | None) -> RunNetwork:
        """Raises UsageError for a run without features, and for a layer that it has not."""
        run.expect_installed()
        if layer is None and not run.embeds:
            raise UsageError(f"metric network {run.path}: {run.config.name} has no features of its own: --metric-layer")
        if layer is not None:
            submodule(run.model, layer, str(run.path))
        files = (run.directory.weights, run.path / "preprocess.json")
        run.model  # noqa: B018  # raises where there are no weights
        return cls(run, layer, labelled(run.directory.name, digest(*files), layer))

    def resized(self, preprocess: Preprocess) -> str:
        kind = self.run.preprocess.kind
        if kind != preprocess.kind:
            raise UsageError(f"metric network {self.run.path} takes {kind} data, not {preprocess.kind} data")
        return resized(tuple(self.run.preprocess.signature()[0].shape), tuple(preprocess.signature()[0].shape))

    def see(self, items: Sequence[Any]) -> Seen:
        run = self.run
        classifies = run.preprocess.target.exclusive and getattr(run.task, "prediction_key", "") == "probabilities"
        features, probabilities = [], []
        for batch in batches_of(run.preprocess, items):
            if self.layer is None:
                features.append(run.embed_batch(batch).flatten(1).double())
            else:
                with predicting(run.model), output_of(submodule(run.model, self.layer), features.append):
                    args, kwargs = run.preprocess.call(like(run.model, batch))
                    run.model(*args, **kwargs)
            if classifies:
                probabilities.append(run.predict_batch(batch)["probabilities"].double())
        return Seen(torch.cat(features), torch.cat(probabilities) if classifies else None)


@dataclass(frozen=True)
class InceptionNetwork:
    """Inception v3 with the weights of a file: of the original FID, as pytorch-fid converted them, or torchvision's."""

    net: Inception
    layer: str | None
    label: str

    @classmethod
    def open(cls, path: Path, layer: str | None) -> InceptionNetwork:
        """Raises UsageError for other weights, DataError for a file that cannot be read."""
        tensors = read_state_dict(path).tensors
        outputs = len(tensors["fc.weight"]) if "fc.weight" in tensors else 0
        net = Inception(original=outputs == ORIGINAL_OUTPUTS)
        wanted = net.state_dict()
        have = {name: value for name, value in tensors.items() if name in wanted and value.shape == wanted[name].shape}
        missing = [name for name in wanted if name not in have and not name.endswith("num_batches_tracked")]
        if missing or outputs not in (ORIGINAL_OUTPUTS, TORCHVISION_OUTPUTS):
            what = f"{missing[0]} is missing or has another shape" if missing else f"{outputs} outputs"
            raise UsageError(
                f"metric network {path}: no weights of Inception v3 as pytorch-fid or torchvision names them ({what})"
            )
        net.load_state_dict(have, strict=False)
        if layer is not None:
            submodule(net, layer, str(path))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        name = "inception" if outputs == ORIGINAL_OUTPUTS else "inception-torchvision"
        return cls(net.eval().to(device), layer, labelled(name, digest(path), layer))

    def resized(self, preprocess: Preprocess) -> str:
        shape = tuple(preprocess.signature()[0].shape)
        if len(shape) != 3 or shape[0] not in (1, 3):
            have = " x ".join(map(str, shape))
            raise UsageError(f"the metric network {self.label} takes grey and colour images, not samples of {have}")
        return resized((3, SIDE, SIDE), shape)

    def see(self, items: Sequence[Any]) -> Seen:
        device, features = next(self.net.parameters()).device, []
        for i in range(0, len(items), AT_ONCE):
            pictures_BCHW = torch.stack([torch.from_numpy(one).permute(2, 0, 1) for one in items[i : i + AT_ONCE]])
            with predicting(self.net), torch.autocast(device.type, enabled=False):
                if self.layer is None:
                    features.append(self.net(to_inception(pictures_BCHW.to(device))).double().cpu())
                else:
                    with output_of(submodule(self.net, self.layer), features.append):
                        self.net(to_inception(pictures_BCHW.to(device)))
        return Seen(torch.cat(features), None)


def labelled(name: str, hashed: str, layer: str | None) -> str:
    """A network in the names of metrics: "lenet5@1a2b", "lenet5@1a2b, layer stem"."""
    return f"{name}@{hashed[:HASH]}" + (f", layer {layer}" if layer else "")


def resized(to: tuple[Any, ...], shape: tuple[Any, ...]) -> str:
    """What a network does to the size of samples of ``shape``, whose channels it takes as they are or converts."""
    if to[1:] == shape[1:]:
        return ""
    return "resize " + (str(to[1]) if len(set(to[1:])) == 1 else " x ".join(map(str, to[1:])))


def submodule(model: nn.Module, name: str, of: str = "") -> nn.Module:
    """Raises UsageError, with the nearest name, for a module that is not there."""
    modules = dict(model.named_modules())
    if not name or name not in modules:
        near = nearest(name, modules)
        hint = f"did you mean '{near}'?" if near else f"it has {', '.join(list(modules)[1:9])}, ..."
        raise UsageError(f"metric_layer '{name}' is no module of the metric network {of}; {hint}")
    found: nn.Module = modules[name]
    return found


@contextmanager
def output_of(module: nn.Module, keep: Callable[[Tensor], Any]) -> Iterator[None]:
    """``keep`` gets the module's output, averaged over the axes after the channels, (N, D)."""

    def hook(module: nn.Module, args: Any, out: Any) -> None:
        if not isinstance(out, Tensor):
            raise UsageError(f"metric_layer: {type(module).__name__} does not return one tensor")
        out = out.detach().double().cpu()
        keep(out.flatten(2).mean(2) if out.ndim > 2 else out)

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
