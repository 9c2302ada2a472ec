"""The kinds of exported file: their endings, and what has to be installed to write and to run them. Without torch."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from lamina.errors import UsageError, unknown


@dataclass(frozen=True)
class Format:
    """One kind of exported file."""

    suffix: str
    engine: str
    """what runs it"""
    writers: tuple[str, ...]
    """libraries that write it"""


FORMATS = {
    "onnx": Format(".onnx", "onnxruntime", ("onnx", "onnxscript")),
    "torch": Format(".pt2", "torch", ()),
    "openvino": Format(".xml", "openvino", ("onnx", "onnxscript")),
}
ENGINES = {"torch": (), "onnxruntime": (".onnx",), "openvino": (".xml", ".onnx")}
"""the endings of the files that each engine opens; torch predicts with the run itself"""


def format_named(name: str) -> Format:
    """Raises UsageError for an unknown format, and for one whose libraries are not installed."""
    if name not in FORMATS:
        raise unknown("export format", name, FORMATS)
    found = FORMATS[name]
    for library in (*found.writers, found.engine):
        require(library, f"exporting to {name}")
    return found


def check_engine(engine: str) -> None:
    """Raises UsageError for an unknown engine, and for one that is not installed."""
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    require(engine, f"engine '{engine}'")


def engine_of(path: Path, engine: str | None) -> str:
    """The engine for a file: the one asked for, else the first that opens it. Raises UsageError."""
    if path.suffix == FORMATS["torch"].suffix:
        raise UsageError(
            f"{path} is a torch.export program, which runs whatever code it holds: "
            "predict with the run it came from, or export to onnx or openvino"
        )
    fitting = [name for name, suffixes in ENGINES.items() if path.suffix in suffixes]
    if not fitting:
        raise UsageError(f"{path} is neither a run nor an exported file (.onnx, .xml)")
    if engine is None:
        engine = fitting[0]
    check_engine(engine)
    if engine not in fitting:
        raise UsageError(f"engine '{engine}' cannot open {path}: {' or '.join(fitting)} can")
    return engine


def require(library: str, what: str) -> None:
    """Raises UsageError, with the extra to install, for a library that is not there."""
    if importlib.util.find_spec(library) is None:
        raise UsageError(f"{what} needs {library}: pip install lamina[export]")
