"""``lamina search``: search a model's options and its recipe; train, print or show what was found."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from lamina.cli.fields import fields_of, given
from lamina.cli.output import as_json, clean, note, number, table
from lamina.cli.parser import Parser, dashed
from lamina.cli.run_argument import RUNS, add_runs, expect_model, model_named
from lamina.cli.train import GROUPS, add_options
from lamina.data.catalogue import expect_known
from lamina.errors import UsageError, nearest
from lamina.search.options import SearchOptions

if TYPE_CHECKING:
    from lamina.search.searching import Search
    from lamina.search.trials import Trial

TEXT = """Search a space of a model's options and of the recipe. Each trial is a training, judged
on validation data; the best is evaluated on the test split once, at the end.
The search is written to runs/NAME. Ctrl-C stops cleanly; --resume continues."""
EXAMPLES = """lenet5 --data digits --space lr=1e-4:1e-1:log --prune asha
lenet5 --data digits --space space.yaml --strategy evolution
mlp --data iris --space model.hidden=[8],[16] --minimize macs
lenet5 --data digits --space space.yaml --storage sqlite:///a.db
lenet5 --data digits --resume --trials 60
retrain runs/lenet5-digits-search
export runs/lenet5-digits-search > best.yaml
front runs/mlp-iris-search"""
SPELLED = {"--strategy": "--strategy.name"}
SPACE = """decisions: KEY=A,B,C (a choice), KEY=LOW:HIGH, KEY=LOW:HIGH:log, KEY=LOW:HIGH:STEP (a range), or a YAML file,
which has conditions, too; KEY is an option of the recipe, or model.OPTION; may be repeated"""


def strategy_fields() -> list[Any]:
    """The options of all strategies, each once."""
    from lamina.search.reinforce import Reinforce
    from lamina.search.strategies import Evolution

    fields = [*fields_of(Evolution, under="strategy"), *fields_of(Reinforce, under="strategy", skip=("_states",))]
    return [*fields, *fields_of(_Startup, under="strategy")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Startup:
    """Options of Optuna's strategies, known without Optuna."""

    startup: int | None = None
    """tpe, gp: trials at random before the first that is modelled (default: 10); nsga2: trials in a generation (20)"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Named:
    name: str = "tpe"
    """how points are chosen: random, evolution, reinforce, local, tpe, nsga2 or gp; also written --strategy NAME"""


def parser(name: str | None = None) -> Parser:
    """With a ``name``: also the options of the model, and the defaults of its recipe."""
    parser = Parser("search", "MODEL --data DATA --space SPACE [options]", TEXT, EXAMPLES)
    parser.hint = "data are named with --data, decisions with --space"
    parser.add_argument("variant", metavar="MODEL", nargs="?", help="the model, or retrain, export, front, report DIR")
    what = parser.add_argument_group("what is searched")
    what.add_argument("--data", type=str, action="append", metavar="DATA", help="as in lamina train")
    what.add_argument("--space", type=str, action="append", metavar="SPACE", help=SPACE)
    what.add_argument("--name", type=str, metavar="NAME", help="name of the search (default: MODEL-DATA-search)")
    add_runs(what)
    what.add_argument("--resume", action="store_true", help="go on with the search of this name, or join it")
    what.add_argument(
        "--storage",
        type=str,
        metavar="FILE|URL",
        help="where trials are kept: a journal file (default: in the search's folder) or an SQL URL; the same command "
        "with the same storage, on this machine or another, joins the search",
    )
    what.add_argument("--workers", type=int, metavar="N", default=1, help="processes that train at once (default: 1)")
    parser.add_fields("strategy", [*fields_of(_Named, under="strategy"), *strategy_fields()])
    parser.add_fields("search", fields_of(SearchOptions))
    skip = (*GROUPS, "workers", "strategy")  # --workers and --strategy are the search's
    add_options(parser, name, "recipe of every trial", skip)
    return parser


def command(argv: Sequence[str]) -> int:
    if argv[:1] and argv[0] in SHOWN:
        return SHOWN[argv[0]](list(argv[1:]))
    words = [_spelled(word) for word in dashed(argv)]
    reader = parser()
    positionals, values = reader.scan(words)
    if positionals:
        first = positionals[0]
        if (near := nearest(first, SHOWN)) is not None and len(positionals) > 1:
            raise UsageError(f"unknown command 'lamina search {first}'; did you mean '{near}'?")
        expect_model(first, values.get("--runs", RUNS))
        reader = parser(model_named(first))
    args = reader.read(words)
    _expect_enough(args)
    found = args.as_dict()
    options = given(reader.fields, found)
    search = {key: options.pop(key) for key in list(options) if key in _FIELDS}
    options["data"] = args.data[0] if len(args.data) == 1 else args.data
    options["model"] = given(reader.fields, found.get("model") or {}, under="model")
    options["objective"] = given(reader.fields, found.get("objective") or {}, under="objective") or None
    strategy = {"name": "tpe", **given(reader.fields, found.get("strategy") or {}, under="strategy")}
    return _search(args, options, search, strategy)


_FIELDS = frozenset(field.name for field in dataclasses.fields(SearchOptions))


def _spelled(word: str) -> str:
    option, equals, value = word.partition("=")
    return f"{SPELLED.get(option, option)}{equals}{value}"


def _expect_enough(args: Namespace) -> None:
    if args.variant is None:
        raise UsageError("which model? lamina search MODEL --data DATA --space SPACE (lamina models lists the models)")
    if not args.data:
        raise UsageError(
            "--data is missing: an embedded set (lamina data lists them), a path, or hf:<dataset>@<revision>"
        )
    for data in args.data:
        if "$" not in data:
            expect_known(data)
    if not args.space and not args.resume:
        raise UsageError(
            "--space is missing: such as --space lr=1e-4:1e-1:log --space batch_size=16,32,64, or a YAML file"
        )
    if args.workers < 1:
        raise UsageError(f"--workers must be at least 1, got {args.workers}")


def _search(args: Namespace, options: dict[str, Any], given_search: dict[str, Any], strategy: dict[str, Any]) -> int:
    from lamina.options.conversion import made
    from lamina.search.searching import as_space, begin, resumed
    from lamina.search.workers import expect_memory, run_workers

    how = made(SearchOptions, given_search, "search option")
    expect_memory(args.workers)
    if args.resume and not args.space:
        found = resumed(args.variant, options, given_search, args.name, args.runs)
    else:
        found = begin(
            args.variant,
            options,
            as_space(args.space),
            strategy,
            how,
            name=args.name,
            directory=args.runs,
            storage=args.storage,
            resume=args.resume,
        )
    show, show_random = (None, None) if args.quiet else (_shows(found, ""), _shows(found, "random "))
    if not args.quiet:
        _announce(found)
    try:
        run_workers(found, args.workers, show, show_random)
    except KeyboardInterrupt:
        command = f"lamina search {found.definition.model} --data {_data(args)} --name {found.path.name} --resume"
        where = "" if args.runs == RUNS else f" --runs {args.runs}"
        print(f"stopped; resume with: {command}{where}", file=sys.stderr)
        return 130
    if found.over:
        found.finish()
    return _finish(found, args.json)


def _data(args: Namespace) -> str:
    return " --data ".join(args.data)


def _announce(search: Search) -> None:
    """What will be trained, on stderr."""
    done = sum(trial.repeats is None and trial.state != "running" for trial in search.trials)
    size = search.space.size
    points = f"{size:,.0f} points" if size != float("inf") else "infinitely many points"
    name = search.definition.strategy["name"]
    words = [f"{search.options.trials} trials by {name} in a space of {points}"]
    words += [f"{done} of them are over"] if done else []
    note("; ".join(words))
    if search.has_baseline:
        note("then points drawn at random, until they are as many, for comparison (--no-baseline leaves them out)")


def _shows(search: Search, what: str) -> Callable[[Trial], None]:
    """A line on stderr for each trial that is over."""

    def show(trial: Trial) -> None:
        values = ", ".join(
            f"{own.name} {number(value)}" for own, value in zip(search.objectives, trial.values or (), strict=False)
        )
        state = "" if trial.state == "complete" else f"{trial.state} "
        found = f"{state}{values}" if not trial.error else f"failed: {trial.error}"
        print(clean(f"{what}trial {trial.number}: {found}  ({search.space.describe(trial.point)})"), file=sys.stderr)

    return show


def _finish(search: Search, json: bool) -> int:
    """Print the result and the paths."""
    best, result = search.best, search.result
    report = search.report()
    test = result.get("test") or {}
    random = [search.score(trial) for trial in search.random if search.score(trial) is not None]
    goal = search.objectives[0]
    if json:
        out: dict[str, Any] = {"search": str(search.path), "report": str(report), "best": best.to_dict()}
        out |= {"objectives": [own.name for own in search.objectives], "test": test or None}
        if len(search.objectives) > 1:
            out["front"] = [trial.to_dict() for trial in search.front]
        out["random_best"] = goal.score(max(one for one in random if one is not None)) if random else None
        out |= {"seeds": result.get("seeds"), "trials": [trial.to_dict() for trial in search.trials]}
        as_json(out)
        return 0
    if len(search.objectives) > 1:
        _print_front(search)
    values = ", ".join(f"{own.name} {number(v)}" for own, v in zip(search.objectives, best.values or (), strict=False))
    print(f"best: trial {best.number}, {values}")
    print(clean(f"point: {search.space.describe(best.point)}"))
    if random and search.has_baseline:
        print(f"random, as many trials: {goal.name} {number(goal.score(max(s for s in random if s is not None)))}")
    if goal.name in test:
        print(f"test: {goal.name} {number(test[goal.name])}")
    print(f"search: {clean(search.path)}")
    print(f"report: {clean(report)}")
    if search.definition.model:
        print(f"train it in full: lamina search retrain {clean(search.path)}")
    return 0


def _print_front(search: Search) -> None:
    names = [own.name for own in search.objectives]
    rows = [
        [str(trial.number), *map(number, trial.values or ()), search.space.describe(trial.point)]
        for trial in search.front
    ]
    table(("trial", *names, "point"), rows, right=range(len(names) + 1))


def _retrain(argv: list[str]) -> int:
    """``lamina search retrain DIR``: train the found point in full; the other words are options of lamina train."""
    from lamina.cli import train

    if not argv or argv[0] in ("-h", "--help"):
        print(
            "usage: lamina search retrain DIR [--trial N] [options of lamina train]\n\n"
            "Train the best point of a search, or that of trial N, in full: as long as the recipe says, or\n"
            "--epochs. The run is NAME-best beside the search; it evaluates, predicts, exports."
        )
        if argv:
            return 0
        raise UsageError("which search? lamina search retrain DIR")
    trial, words = _take_trial(dashed(argv))
    folder = _folder(words)
    search = _opened(folder)
    recipe = search.write_recipe(trial)
    rest = words[1:]
    names = [word.partition("=")[0] for word in rest]
    if "--resume" in names:
        raise UsageError(f"lamina train --name {search.path.name}-best --resume goes on with a run")
    own = [] if "--name" in names else ["--name", f"{search.path.name}-best"]
    own += [] if "--runs" in names else ["--runs", str(search.path.parent)]
    return train.command(["--config", str(recipe), *own, *rest])


def _take_trial(words: list[str]) -> tuple[int | None, list[str]]:
    """The value of --trial, and the other words."""
    rest: list[str] = []
    trial: int | None = None
    it = iter(words)
    for word in it:
        option, equals, value = word.partition("=")
        if option != "--trial":
            rest.append(word)
            continue
        text = value if equals else next(it, "")
        if not text.isdigit():
            raise UsageError(f"--trial is the number of a trial, got '{text}'")
        trial = int(text)
    return trial, rest


def _folder(words: Sequence[str]) -> Path:
    if not words or words[0].startswith("-"):
        raise UsageError("which search? its folder comes first, such as runs/lenet5-digits-search")
    path = Path(words[0]).expanduser()
    return path if path.exists() or "/" in words[0] else Path(RUNS) / words[0]


def _opened(folder: Path) -> Search:
    from lamina.search.searching import open_search

    return open_search(folder)


def _viewer(verb: str, text: str, *, trial: bool = False) -> Parser:
    parser = Parser(f"search {verb}", "DIR [options]", text)
    parser.add_argument("folder", metavar="DIR", help="the folder of a search, or its name in runs/")
    if trial:
        parser.add_argument("--trial", type=int, metavar="N", help="another trial than the best")
    parser.add_common()
    return parser


def _export(argv: list[str]) -> int:
    import yaml

    args = _viewer("export", "Print the recipe of the best point, for lamina train --config.", trial=True).read(
        dashed(argv)
    )
    recipe = _opened(_folder([args.folder])).recipe(args.trial)
    if args.json:
        as_json(recipe)
    else:
        print(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True), end="")
    return 0


def _front(argv: list[str]) -> int:
    args = _viewer("front", "Print the Pareto front of a search with several objectives.").read(dashed(argv))
    search = _opened(_folder([args.folder]))
    chosen = search.front
    if args.json:
        names = [own.name for own in search.objectives]
        as_json({"objectives": names, "front": [trial.to_dict() for trial in chosen]})
    else:
        _print_front(search)
    return 0


def _report(argv: list[str]) -> int:
    args = _viewer("report", "Write the report of a search, finished or not, and print its path.").read(dashed(argv))
    path = _opened(_folder([args.folder])).report()
    if args.json:
        as_json({"report": str(path)})
    else:
        print(clean(path))
    return 0


SHOWN: dict[str, Callable[[list[str]], int]] = {
    "retrain": _retrain,
    "export": _export,
    "front": _front,
    "report": _report,
}
"""commands on a search that is there"""
