"""Private names of torch and Fabric stand in one module, which needs torch alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lamina

SOURCE = Path(lamina.__file__).parent
NO_TORCH = {
    "_asdict", "_fields", "_make", "_replace",  # of NamedTuple, documented
    "_actions",  # of argparse
    "_exit",  # of os, documented
    "_fingerprint",  # of datasets
}  # fmt: skip


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def own_names(tree: ast.AST) -> Iterator[str]:
    """What a file defines itself: functions, classes, annotated fields, attributes that it sets on self."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name


def foreign_private_names(text: str) -> list[str]:
    """Private names of others that a file imports, or asks an object for."""
    tree = ast.parse(text)
    own = set(own_names(tree)) | NO_TORCH
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found += [part for alias in names for part in alias.name.split(".")]
            case ast.ImportFrom(module=str(module), names=names):
                found += [*module.split("."), *(alias.name for alias in names)]
            case ast.Attribute(attr=name):
                found.append(name)
            case ast.Call(func=ast.Name(id=function), args=[_, ast.Constant(value=str(name)), *_]):
                found += [name] * (function in ("getattr", "hasattr", "setattr"))
    return [name for name in found if private(name) and name not in own]


@pytest.mark.parametrize(
    "line",
    [
        "from torch.utils._pytree import tree_leaves",
        "from torch.nn.modules.conv import _ConvNd",
        "import torch._dynamo",
        "torch._foreach_copy_([], [])",
        "nn.modules.batchnorm._NormBase",
        "fabric._precision.state_dict()",
        "module._compiled_call_impl = call",
        "self._flat_weights",
        "hasattr(torch.ops.mkldnn, '_linear_pointwise')",
    ],
)
def test_a_private_name_is_found(line: str) -> None:
    assert len(foreign_private_names(line)) == 1


def test_private_names_stand_in_one_module() -> None:
    files = {str(path.relative_to(SOURCE)): path for path in SOURCE.rglob("*.py")}
    assert foreign_private_names(files.pop("torch_internals.py").read_text())
    found = {name: foreign_private_names(path.read_text()) for name, path in files.items()}
    assert {name: names for name, names in found.items() if names} == {}


def test_the_module_needs_torch_alone() -> None:
    others = ("lightning_fabric", "torchmetrics", "pandas", "kornia")
    line = f"import lamina.torch_internals, sys; print([name for name in {others} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
