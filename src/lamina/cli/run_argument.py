"""The argument RUN: a path, or a name in the folder of runs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from lamina.cards.timm_names import why_not
from lamina.cli.output import note
from lamina.cli.parser import Parser
from lamina.errors import UsageError, nearest, unknown
from lamina.files import is_run
from lamina.registry import canonical, list_models, remark
from lamina.runs.folders import find_folder, run_folders

RUNS = "runs"
HUB = "hf:"
"""before the name of a run of the hub"""


def add_run(parser: Parser, metavar: str = "RUN") -> None:
    """The argument RUN and the option --runs."""
    what = (
        "a run, by its path or its name, or hf:USER/NAME@REVISION"
        if metavar == "RUN"
        else "a model, or a run by its path or its name"
    )
    parser.add_argument("run", metavar=metavar, help=what)
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
    near = nearest(Path(name).name, run_names(Path(name).parent if "/" in name else runs))
    advice = f"; did you mean '{near}'?" if near else ""
    raise UsageError(f"no such run: {name if '/' in name else Path(runs) / name}{advice}")


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
