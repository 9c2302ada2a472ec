"""The argument RUN: a path, or a name in the folder of runs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lamina.cards.timm_names import why_not
from lamina.cli.output import note
from lamina.cli.parser import Parser
from lamina.data.catalogue import embedded_name
from lamina.errors import UsageError, nearest, unknown
from lamina.files import is_run
from lamina.registry import canonical, is_model, list_models, remark
from lamina.runs.folders import find_folder, may_be_run, run_folders

RUNS = "runs"
HUB = "hf:"
"""before the name of a run of the hub"""
WHAT = {
    "RUN": "a run, by its path or its name, or hf:USER/NAME@REVISION",
    "RUN|MODEL": "a model, or a run by its path or its name",
    "RUN|FILE": "a run by its path or its name, or an exported .onnx or .xml",
}
ITEMS = ("--data", "--file", "--image", "--input", "--item", "--text")
LISTED = 8
"""runs that a message names"""


def add_run(parser: Parser, metavar: str = "RUN", items: bool = False) -> None:
    """The argument RUN and the option --runs; options of other tools are answered with their place, with ``items``
    also those for what stands after the run."""
    parser.add_argument("run", metavar=metavar, help=WHAT.get(metavar, WHAT["RUN|MODEL"]))
    parser.others |= dict.fromkeys(("--name", "--run", "--model"), f"the run is the first word: {parser.usage}")
    if items:
        parser.others |= dict.fromkeys(ITEMS, f"items stand after the run: {parser.usage}")
    add_runs(parser)


def add_runs(group: Any) -> None:
    """The option --runs, in a parser or a group of one."""
    group.add_argument(
        "--runs", type=str, metavar="DIR", default=RUNS, help=f"the folder of the runs (default: {RUNS})"
    )


def run_path(name: str, runs: str) -> Path:
    """The folder of a run, one of the hub (``hf:USER/NAME@REVISION``) in its cache. Raises UsageError, with the nearest
    name, where there is none."""
    if name.startswith(HUB):
        from lamina.weights.hub import fetch_run

        return fetch_run(name)
    if (path := find_folder(name, runs)) is not None:
        return path
    if Path(name).exists():
        raise UsageError(f"{name} is not a run: it is not a folder")
    raise no_run(name, runs)


def no_run(name: str, runs: str, more: str = "") -> UsageError:
    """The error for a name that is not that of a run."""
    where = Path(name) if "/" in name else Path(runs) / name
    return UsageError(f"no such run: {where}; {_instead(name, where.parent)}{more}")


def _instead(name: str, folder: Path) -> str:
    """What helps where ``name`` names no run in ``folder``."""
    names = run_names(folder)
    if is_model(name):
        own = [run for run in names if run.startswith(f"{canonical(name)}-")]
        if own:
            return f"{name} is a model, its runs are {_listed(own)}"
        return f"{name} is a model: lamina train {name} --data DATA makes a run of it"
    if near := nearest(Path(name).name, names):
        return f"did you mean '{near}'?"
    if embedded_name(name) is not None:
        return f"{name} is a data set: lamina train --data {name} makes a run"
    return f"there are {_listed(names)}" if names else f"there are no runs in {folder}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def expect_model(name: str, runs: str) -> None:
    """Raise UsageError where a run is named in the place of a model."""
    if not is_model(name) and (path := find_folder(name, runs)) is not None and may_be_run(path):
        raise UsageError(
            f"{name} is a run, not a model: {resume_command(path)} continues it, "
            f"--config {shlex.quote(str(path / 'config.yaml'))} trains it anew"
        )


def is_file(name: str, runs: str) -> bool:
    """Whether a name is that of an exported file, and of no run."""
    return Path(name).expanduser().is_file() and not is_run(Path(runs) / name)


def run_or_model(name: str, runs: str) -> Path | None:
    """The folder of the run that ``name`` names, or None where it names a model. Raises UsageError for neither."""
    if name.startswith(HUB):
        return run_path(name, runs)
    try:
        model_named(name)
        return None
    except UsageError:
        if "/" in name or Path(name).is_dir() or name in run_names(runs):
            return run_path(name, runs)
        reason = why_not(name)
        if reason is not None:
            raise UsageError(reason) from None
        raise unknown("model or run", name, [*list_models(), *run_names(runs)]) from None


def model_named(name: str) -> str:
    """The variant of this name; what to mind of the name is noted on stderr. Raises UsageError."""
    own, about = canonical(name), remark(name)
    if about is not None:
        note(f"{name}: {about}")
    return own


def run_names(runs: str | Path) -> list[str]:
    """Names of the runs in a folder."""
    return [path.name for path in run_folders(Path(runs))]


def resume_command(path: Path) -> str:
    """The command line that resumes a stopped run."""
    where = "" if str(path.parent) == RUNS else f" --runs {shlex.quote(str(path.parent))}"
    return f"lamina train --name {shlex.quote(path.name)} --resume{where}"
