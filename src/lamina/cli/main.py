"""The ``lamina`` command: find the verb, run its file, report every error as one line."""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from lamina.errors import DataWarning, LaminaError, UsageError, unknown
from lamina.options.launcher import launcher, several
from lamina.version import __version__

VERBS = {
    "models": "list the architectures",
    "info": "the facts and the layers of a model or a run",
    "data": "what is in a data set; without a name: the embedded ones",
    "train": "train a model on data",
    "advise": "which model to train on given data, and why",
    "compare": "a leaderboard of models on one data set",
    "evaluate": "the metrics of a run, or of published weights",
    "predict": "predictions of a run for files, rows or texts",
    "generate": "texts, pictures or rows that a run generates",
    "style": "a picture in the style of another, or of a run",
    "embed": "the inputs of a run's output layer, as features",
    "export": "a run or a model as ONNX, OpenVINO or torch.export",
    "serve": "a run over HTTP",
    "push": "a run to the Hugging Face hub",
    "inspect": "what a run or a model computes for an image or a text",
    "runs": "list and compare runs",
    "report": "the report of a run, written anew",
    "search": "search a model's options and its recipe",
    "convert": "published weights with Lamina's names",
    "studio": "explore, train, try and compare in the browser",
    "claims": "experiments that test statements of the field",
    "reproduce": "run published recipes and record their results",
}
ALONE = ("claims", "compare", "reproduce", "search")
"""verbs that train, but not in several processes that a launcher has started"""
HELP = f"""usage: lamina VERB [options]

The canonical deep-learning architectures: faithful to their papers, readable,
trainable with one command, open to inspection.

verbs:
{chr(10).join(f"  {verb:<10}{summary}" for verb, summary in VERBS.items())}

  lamina VERB --help   the options of a verb
  lamina --version     the version

try:
  lamina train lenet5 --data digits"""


def main(argv: list[str] | None = None) -> int:
    """Run one command line (without the program's name) and return its exit status.

    0 success; 1 failure; 2 misuse; 130 interrupted (128 + the signal's number); 141 broken pipe.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names that the terminal cannot encode are escaped
    debug, argv = _take_debug(sys.argv[1:] if argv is None else argv)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", DataWarning)
            warnings.showwarning = _shown(warnings.showwarning)
            status = _dispatch(argv)
        sys.stdout.flush()
        return status
    except SystemExit as leaving:  # --help
        return leaving.code if isinstance(leaving.code, int) else 0
    except BrokenPipeError:
        with open(os.devnull, "w") as nowhere:  # or Python complains when it flushes at its end
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except LaminaError as error:
        # of the processes of one machine the first shows an error of all of them
        return _fail(str(error), error.exit_code, debug) if error.shown else error.exit_code
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _fail(f"{error.strerror or error}{where}", 1, debug)
    except Exception as error:
        text = f"internal error: {type(error).__name__}: {error}"
        return _fail(text if debug else f"{text}; run again with --debug", 1, debug)


def _shown(others: Callable[..., None]) -> Callable[..., None]:
    """Warnings of data are notes; others are shown as they were."""

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        from lamina.cli.output import note

        if issubclass(category, DataWarning):
            note(str(message))
        else:
            others(message, category, *place, **more)

    return show


def _take_debug(argv: Sequence[str]) -> tuple[bool, list[str]]:
    """Whether --debug stands anywhere among the options, and the rest."""
    end = argv.index("--") if "--" in argv else len(argv)
    rest = [word for word in argv[:end] if word != "--debug"]
    return len(rest) < end, [*rest, *argv[end:]]


def _dispatch(argv: list[str]) -> int:
    if argv[:1] == ["help"]:
        argv = [*argv[1:2], "--help"]
    verb, *rest = argv or ["--help"]
    if verb in ("-h", "--help"):
        print(HELP)
        return 0
    if verb == "--version":
        print(f"lamina {__version__}")
        return 0
    if verb.startswith("-"):
        raise UsageError(f"the verb comes first: lamina VERB {verb} ... (lamina --help lists the verbs)")
    if verb not in VERBS:
        raise unknown("verb", verb, VERBS)
    if verb in ALONE and several():
        raise UsageError(f"{launcher()}, but lamina {verb} is one process: only lamina train makes one run of several")
    status: int = importlib.import_module(f"lamina.cli.{verb}").command(rest)
    return status


def _fail(message: str, status: int, debug: bool = False) -> int:
    from lamina.cli.output import clean

    if debug:
        traceback.print_exc()
    print(f"lamina: {clean(' '.join(message.split()))}", file=sys.stderr)
    return status
