"""The export formats: file suffixes, and the libraries that write and run them. Does not import torch."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from lamina.errors import UsageError, unknown


@dataclass(frozen=True)
class Format:
    """An export format."""

    suffix: str
    engine: str
    """the engine that runs it"""
    writers: tuple[str, ...]
    """the libraries that write it"""
    quantises: bool = True
    """whether its files hold weights in 8 or 16 bits"""


FORMATS = {
    "onnx": Format(".onnx", "onnxruntime", ("onnx", "onnxscript")),
    "torch": Format(".pt2", "torch", (), quantises=False),
    "openvino": Format(".xml", "openvino", ("onnx", "onnxscript")),
}
ENGINES = {"torch": (), "onnxruntime": (".onnx",), "openvino": (".xml", ".onnx")}
"""the suffixes of the files that each engine opens; torch predicts with the run itself"""


def format_named(name: str) -> Format:
    """The format of this name. Raises UsageError for an unknown one, and one whose libraries are not installed."""
    if name not in FORMATS:
        raise unknown("export format", name, FORMATS)
    found = FORMATS[name]
    for library in (*found.writers, found.engine):
        require(library, f"exporting to {name}")
    return found


def check_engine(engine: str) -> None:
    """Raise UsageError for an unknown engine, and one that is not installed."""
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    require(engine, f"engine '{engine}'")


def engine_of(path: Path, engine: str | None) -> str:
    """The engine for a file: ``engine``, by default the first that opens it. Raises UsageError."""
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


def require(library: str, what: str, extra: str = "export") -> None:
    """Raise UsageError for a library that is not installed; the message names the extra to install."""
    if importlib.util.find_spec(library) is None:
        raise UsageError(f"{what} needs {library}: pip install lamina[{extra}]")
