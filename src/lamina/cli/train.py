"""``lamina train``: train a model on data, or resume a run."""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from lamina.cards import Card
from lamina.cli.answers import expect_own_options, taken
from lamina.cli.fields import Field, fields_of, given
from lamina.cli.metric_network import expect_trained
from lamina.cli.output import as_json, clean, facts, metric, note, number
from lamina.cli.parser import LATER, Parser, dashed
from lamina.cli.run_argument import RUNS, add_runs, expect_model, model_named, resume_command, run_path
from lamina.cli.training.rate import find_rate, write_plot
from lamina.data.catalogue import expect_known
from lamina.data.options import DataOptions
from lamina.errors import LaminaError, UsageError
from lamina.options.launcher import several
from lamina.options.recipe import Augmentation, Recipe, grouped
from lamina.registry import canonical, card, is_model
from lamina.runs.folders import find_folder, may_be_run

if TYPE_CHECKING:
    from lamina.runs.data import OpenData
    from lamina.runs.training import Training

TEXT = """Train a model on data. The run is written to runs/NAME and never overwritten.
Ctrl-C stops cleanly; --resume continues."""
EXAMPLES = """--data photos/
lenet5 --data digits
lenet5 --data photos/ --epochs 30 --lr 0.001 --flip
lenet5 --data photos/ --weights runs/lenet5-digits --reset-head
mlp --data houses.csv --target price --model.hidden 64,64
mlp --data visits.csv --target ill --folds 5 --group patient
lstm-lm-small --data book.txt
lstm-classifier --data reviews.tsv
transformer-small --data dates
--config runs/lenet5-digits/config.yaml --seed 1
--name lenet5-digits --resume --epochs 40"""
SKIPPED_SHOWN = 10
COMMON = (
    "--data", "--target", "--weights", "--epochs", "--batch-size", "--lr", "--flip", "--seed", "--accelerator",
    "--name", "--resume", "--config", "--dry-run",
)  # fmt: skip
"""the options that --help shows; --help-all shows the rest"""
GROUPS = ("augmentation",)
"""fields of the recipe that are option groups"""


def parser(name: str | None = None) -> Parser:
    """With a ``name``: also the options of the model, and the defaults of its recipe."""
    parser = Parser("train", "[MODEL] --data DATA [options]", TEXT, EXAMPLES)
    parser.show_first(COMMON)
    parser.hint = "data are named with --data"
    parser.add_argument(
        "variant", metavar="MODEL", nargs="?", help="the model (lamina models lists them); default: one for the data"
    )
    what = parser.add_argument_group("model, data and run")
    what.add_argument(
        "--data",
        type=str,
        action="append",
        metavar="DATA",
        help="an embedded set, a path, or hf:<dataset>@<revision>; given twice: the two sides of an unpaired task; "
        "with --resume: the new place of data that have moved",
    )
    what.add_argument(
        "--config",
        type=str,
        metavar="FILE",
        help="options from a YAML file, a run's config.yaml, or a published recipe",
    )
    what.add_argument(
        "--weights",
        type=str,
        metavar="FILE",
        help="weights to start from: a file, a run, a name on the model's card (imagenet), hf:<repository>@<revision>",
    )
    what.add_argument(
        "--reset-head",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="skip the output layer of --weights (default: only that of classes, of weights of the hub)",
    )
    what.add_argument("--entry", type=str, metavar="NAME", help="the entry of --weights, a checkpoint, that holds them")
    what.add_argument("--name", type=str, metavar="RUN", help="name of the run (default: MODEL-DATA)")
    add_runs(what)
    what.add_argument("--resume", action="store_true", help="continue from the run's latest checkpoint")
    what.add_argument(
        "--resume-or-start",
        action="store_true",
        help="continue the run where there is one, else start it: for schedulers that restart jobs",
    )
    what.add_argument("--dry-run", action="store_true", help="prepare everything, print the plan, write nothing")
    what.add_argument(
        "--logger",
        type=str,
        action="append",
        metavar="NAME",
        help="also log to tensorboard, wandb or mlflow (an extra each); may be given several times",
    )
    what.add_argument("--print-config", action="store_true", help="print every option as YAML for --config, and stop")
    title = "recipe" if name else "recipe (a model's own changes some defaults: lamina train MODEL --help)"
    add_options(parser, name, title)
    return parser


def add_options(parser: Parser, name: str | None, title: str, skip: Sequence[str] = GROUPS) -> None:
    """The options of recipe and data; of a model ``name`` also its own, its objectives', and its recipe's defaults."""
    if name is None:
        parser.add_fields(title, fields_of(Recipe, skip=skip))
        parser.add_fields("images", fields_of(Augmentation))
    else:
        from lamina.registry import variant
        from lamina.runs.build import DATA_OPTIONS
        from lamina.runs.config import published

        config = variant(name).config
        defaults = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
        defaults |= dict.fromkeys(set(DATA_OPTIONS) - {"image_size"}, "derived from the data")
        own = grouped(published(card(name).recipe))
        parser.add_fields(f"{title} of {name}", fields_of(Recipe, skip=skip, defaults=own))
        parser.add_fields("images", fields_of(Augmentation, defaults=own.get("augmentation", {})))
        parser.add_fields(f"options of {name}", fields_of(type(config), under="model", defaults=defaults))
        parser.add_fields("objective", objective_fields(card(name)))
    parser.add_fields("reading and dividing the data", fields_of(DataOptions))
    parser.add_common(quiet=True)


def command(argv: Sequence[str]) -> int:
    if several() or any(word.partition("=")[0] == "--devices" for word in argv):
        # a process that is gone is named in one line: torch's own messages of it have twenty
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")
    if not several():
        return _command(argv)
    from lamina.training.launching import from_the_first_line

    with from_the_first_line():
        return _command(argv)


def _command(argv: Sequence[str]) -> int:
    words, finds_rate = taken([_spelled_out(word) for word in _named(dashed(argv))], "--lr", "find")
    reader, args = _read(words)
    if args.resume_or_start:
        _resume_or_start(args)
    values = args.as_dict()
    data = args.data[0] if args.data and len(args.data) == 1 else args.data
    requested = {**given(reader.fields, values), "data": data, "weights": args.weights}
    requested |= {"reset_head": args.reset_head, "entry": args.entry}
    requested["model"] = given(reader.fields, values.get("model") or {}, under="model")
    requested["objective"] = given(reader.fields, values.get("objective") or {}, under="objective") or None
    _expect_enough(args)
    if args.logger:
        from lamina.runs.loggers.base import loggers_named

        loggers_named(args.logger)  # a name that is not known is said first
    opened: OpenData | None = None
    if args.variant is None and args.config is None and not args.resume:
        args.variant, requested, opened = _advised(args, requested, words)
    if args.print_config:
        return _print_config(args, requested)

    from lamina.cli.training.folds import cross_validation, train_folds
    from lamina.runs.training import prepare

    name, directory = args.name, args.runs
    if args.resume and name is not None:
        path = run_path(name, directory)
        name, directory = path.name, str(path.parent)
    if finds_rate:
        found = find_rate(args, requested, directory)
        requested["lr"] = found.rate
    whole = cross_validation(args, requested, name, directory)
    if whole is not None:
        return train_folds(whole, args, _fit, partial(_plan, args=args), _notes)
    if not args.dry_run and not args.resume:
        expect_trained(requested.get("metric_network"), directory)
    training = prepare(
        args.variant,
        requested,
        config=args.config,
        name=name,
        directory=directory,
        resume=args.resume,
        dry=args.dry_run,
        opened=opened,
    )
    is_main = training.fabric.is_global_zero  # only the main process prints
    if is_main:
        for text in training.fitted_notes if not args.quiet else ():
            note(text)
        _notes(training)
    if args.dry_run:
        return _plan(training, args)
    if finds_rate and is_main:
        write_plot(found, training.directory.path)
    stopped = _fit(training, args, training.directory.path)
    if stopped is not None:
        return stopped
    training.disband()
    training.finalize()
    return _finish(training, args) if is_main else 0


def _resume_or_start(args: Namespace) -> None:
    """Set ``--resume`` where the run is there; its own configuration is used then."""
    from lamina.runs.folds import is_cross_validation
    from lamina.runs.resuming import short_name

    name, data = args.name, args.data
    if name is None and args.variant is not None and data:
        name = f"{canonical(args.variant)}-{short_name(data[0] if len(data) == 1 else data)}"
    if name is None:
        raise UsageError("--resume-or-start needs the run's --name, or the model and --data that name it")
    path = Path(args.runs) / name
    args.resume = may_be_run(path) or is_cross_validation(path)
    if args.resume:
        args.config = None


def _advised(args: Namespace, requested: Mapping[str, Any], words: list[str]) -> tuple[str, dict[str, Any], OpenData]:
    """The model for the data, told with its reason and two others, the options with those of the choice, and the
    data."""
    from lamina.cli.advise import show_others
    from lamina.runs.advising import advise_on
    from lamina.runs.config import make_config

    if len(args.data) > 1:
        raise UsageError("which model? two sets of data are the sides of a model that needs them: lamina models")
    advice, opened = advise_on(args.data[0], requested)
    make_config(advice.model, advice.over(requested), fetches=False)  # raises before anything is printed
    if not (args.json or args.quiet):
        print(f"{advice.model}: {advice.why}")
        show_others(advice.instead, words)
    return advice.model, advice.over(requested), opened


def _fit(training: Training, args: Namespace, path: Path) -> int | None:
    """Train with a display of progress. The exit status if it was stopped; ``path`` is what resumes."""
    from lamina.cli.training.plan import plan
    from lamina.cli.training.progress import Progress
    from lamina.runs.loggers.base import followed, loggers_named
    from lamina.training.stopping import stoppable

    is_main = training.fabric.is_global_zero
    progress = Progress(training, quiet=args.quiet or not is_main)
    try:
        if not progress.quiet:
            for name, line in plan(training).items():
                print(f"{name:<8}{clean(line)}", file=sys.stderr)
        with closing(followed(training, loggers_named(args.logger or ()))) as events, progress:
            for event in stoppable(events):
                progress.show(event)
    except KeyboardInterrupt as stop:
        if is_main:
            step = training.engine.step
            print(f"stopped at step {step}; resume with: {resume_command(path)}", file=sys.stderr)
        training.disband()
        if is_main:
            _report_stopped(training)
        return 128 + signal.Signals[str(stop) or "SIGINT"]
    return None


RESUMING = ("--resume", "--resume-or-start")


def _named(words: list[str]) -> list[str]:
    """``--resume RUN``, ``RUN --resume`` and ``--resume=RUN`` as ``--resume --name RUN``."""
    for option in RESUMING:
        words = [part for word in words for part in _parted(word, option)]
    positionals, values = parser().scan(words)
    if not values.keys() & set(RESUMING) or "--name" in values or not positionals or is_model(positionals[0]):
        return words
    run = positionals[0]
    found = find_folder(run, values.get("--runs", RUNS))
    if "--data" in values and (found is None or not may_be_run(found)):
        return words  # a model that is misspelt
    place = words.index(run)
    return [*words[:place], "--name", run, *words[place + 1 :]]


def _parted(word: str, option: str) -> list[str]:
    return [option, "--name", word.removeprefix(f"{option}=")] if word.startswith(f"{option}=") else [word]


SHORT = {"--objective": "--objective.name", "--style": "--objective.style"}
"""options of an objective that have a shorter spelling"""


def _spelled_out(word: str) -> str:
    """``--objective focal`` as ``--objective.name focal``."""
    option, equals, value = word.partition("=")
    return f"{SHORT.get(option, option)}{equals}{value}"


def objective_fields(facts: Card) -> Iterator[Field]:
    """The objectives of a model's tasks, and the options of each."""
    from lamina.tasks.table import TASKS

    kinds = [kind for name in facts.tasks if (kind := TASKS.find(name)) is not None]
    names = [name for kind in kinds for name in kind.objectives]
    if names:
        usual = facts.objective or "the task's default"
        doc = f"the objective, also written --objective NAME: {', '.join(dict.fromkeys(names))}"
        yield Field(ObjectiveName, "name", str, doc, usual, "objective")
    seen: set[str] = set()
    for kind in kinds:
        for name, cls in kind.objectives.items():
            for field in fields_of(cls, under="objective"):
                if field.name not in seen:
                    seen.add(field.name)
                    yield dataclasses.replace(field, doc=f"of {name}: {field.doc}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectiveName:
    """The name of an objective, as an option."""

    name: str


def _read(words: list[str]) -> tuple[Parser, Namespace]:
    """The parser with the model's options in it where they are needed, and what it read.

    Errors that do not depend on the model are raised first, before torch is imported.
    """
    reader = parser()
    positionals, values = reader.scan(words)
    expect_own_options(words, reader.options(), positionals)
    reader.check_options(words, later=True)
    if positionals:
        expect_model(positionals[0], values.get("--runs", RUNS))
    name = model_named(positionals[0]) if positionals else None
    late = [option for option in values if option.startswith(LATER)]
    if late or values.keys() & {"-h", "--help", "--help-all"}:
        name = name or _name_in_files(values)
        if late and name is None:
            raise UsageError(f"{late[0]}: which model? give its name, or a --config that names one")
        reader = parser(name)
        for option in late:
            if option.startswith("--objective.") and not any(f.under == "objective" for f in reader.fields.values()):
                raise UsageError(f"{name} has no objectives to choose from, got {option.removesuffix('.name')}")
    args = reader.read(words)
    return reader, args


def _name_in_files(values: Mapping[str, str]) -> str | None:
    """The model named by --config, or by the run to resume."""
    config = values.get("--config")
    if "--resume" in values and "--name" in values:
        config = str(run_path(values["--name"], values.get("--runs", RUNS)) / "config.yaml")
    if not config:
        return None

    from lamina.runs.config import read_config

    name = read_config(config).get("name")
    return canonical(name) if isinstance(name, str) else None


def _expect_enough(args: Namespace) -> None:
    """Raise UsageError for a missing model or data set, before anything heavy is imported."""
    if args.resume and args.print_config:
        raise UsageError("--print-config shows the options of a new run: leave --resume out")
    for data in args.data or ():
        if "$" not in data and not args.resume:  # else there is a variable to be filled in, or a run knows the place
            expect_known(data)
    if args.resume or args.config is not None:
        return
    if args.variant is None and not args.data:
        if args.name is not None and (path := Path(args.runs) / args.name).is_dir():
            raise UsageError(f"which model? {path} is there: {resume_command(path)} continues it")
        raise UsageError(
            "which model? lamina train MODEL --data DATA (lamina models lists them; --data alone takes one)"
        )
    if not args.data:
        raise UsageError(
            "--data is missing: an embedded set (lamina data lists them), a path, or hf:<dataset>@<revision>"
        )


def _print_config(args: Namespace, requested: Mapping[str, Any]) -> int:
    import yaml

    from lamina.runs.config import make_config

    name = None if args.variant is None else canonical(args.variant)
    config = make_config(name, requested, config=args.config, fitted=args.config is None).to_dict()
    if args.json:
        as_json(config)
    else:
        print(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), end="")
    return 0


def _notes(training: Training) -> None:
    from lamina.runs.views.table import VIEWS

    for text in (*VIEWS.faults.values(), *training.notes):
        note(text)
    if training.loaded is not None:
        note(f"starts from {training.loaded}")
    skipped = training.source.spec.skipped
    for name in skipped[:SKIPPED_SHOWN]:
        note(f"left out: {name}")
    if len(skipped) > SKIPPED_SHOWN:
        note(f"... and {len(skipped) - SKIPPED_SHOWN:,} more")


def _report_stopped(training: Training) -> None:
    """The report of a run that was stopped, where it has weights."""
    if training.directory.weights.is_file():
        try:
            print(f"report: {clean(training.run.report())}", file=sys.stderr)
        except (LaminaError, KeyboardInterrupt) as error:
            note(f"no report was written: {error or 'interrupted'}")


def _plan(training: Training, args: Namespace) -> int:
    """Print what would be trained."""
    from lamina.cli.training.plan import as_plain, plan, trial

    path, is_main = training.directory.path, training.fabric.is_global_zero
    if args.json:
        if is_main:
            as_json(as_plain(training))
        return 0
    lines = plan(training)
    lines["device"] = f"{lines['device']}; {trial(training)}"  # all processes take part
    training.disband()
    if not is_main:
        return 0
    facts(lines)
    again = "" if args.resume or not path.exists() else " exists: a number will be added"
    print(f"dry run: nothing was trained or written; run: {path}{again}")
    return 0


def _finish(training: Training, args: Namespace) -> int:
    """Evaluate, write the report, print the result and the paths."""
    from lamina.runs.summary import summarise
    from lamina.tasks.facts import quality

    run = training.run
    split = run.final_split
    metrics = run.evaluate(split)
    notes = run.shortfalls(split, metrics)
    report = run.report()
    summary = summarise(run)
    if args.json:
        best = {"metric": summary.metric, "value": summary.best, "epoch": summary.best_epoch}
        found = {"run": str(run.path), "report": str(report), "epochs": summary.epochs, "steps": summary.step}
        told = {"metrics": metrics, "notes": notes}
        as_json({**found, "minutes": summary.minutes, "best": best, "split": split, **told})
        return 0
    if summary.best is not None:
        print(f"best validation {summary.metric}: {number(summary.best)}, in epoch {summary.best_epoch}")
    shown = getattr(metrics, "shown", tuple(metrics))
    ordered = sorted(quality(shown), key=lambda name: name != summary.metric)  # the watched metric comes first
    print(f"{split}: {', '.join(f'{name} {metric(name, metrics[name])}' for name in ordered)}")
    for text in notes:
        note(text)
    print(f"run: {clean(run.path)}")
    print(f"report: {clean(Path(report))}")
    return 0
