"""A search in a folder: begun, joined or resumed; its trials are runs, and so is its result."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, get_args, get_type_hints

import yaml

from lamina import registry
from lamina.data.catalogue import is_path
from lamina.errors import RunError, UsageError
from lamina.files import write_whole
from lamina.options.conversion import made
from lamina.options.launcher import launcher
from lamina.options.recipe import Recipe
from lamina.plugins import load
from lamina.runs.config import make_config
from lamina.runs.directory import check_name
from lamina.runs.places import with_places
from lamina.runs.resuming import short_name
from lamina.runs.run import Run, open_run
from lamina.runs.training import prepare, train
from lamina.search.binding import bound, space_from_words
from lamina.search.definition import FILE, Definition, json_plain, place_of, shortly
from lamina.search.evaluation import Evaluate, Trainings, best_index, best_value
from lamina.search.options import SearchOptions
from lamina.search.space import Space, read_space
from lamina.search.storage import exclusive, is_url, open_storage, storage_errors
from lamina.search.strategies import RandomSearch, Strategy, front, strategy_named
from lamina.search.trials import ATTEMPTS, Objective, Trial, Trials, none_within
from lamina.search.working import Show, Work, work
from lamina.training.stopping import stoppable

RESULT = "result.json"


class Search:
    """A search on disk: what ``lamina.search`` returns and ``open_search`` opens.

    found = lamina.search("lenet5", "digits", space={"lr": {"low": 1e-4, "high": 1e-1, "log": True}}, trials=20)
    found.best.point, found.best.values
    run = found.retrain()
    """

    def __init__(self, folder: Path, definition: Definition, evaluate: Evaluate | None = None) -> None:
        self.path, self.definition = folder, definition
        self._evaluate = evaluate
        self.space = Space.of(definition.space)
        self.objectives = tuple(Objective(name, up) for name, up in definition.objectives)
        place = definition.storage if is_url(definition.storage) else str(folder / definition.storage)
        self._place = place
        with storage_errors(place) if is_url(place) else _nothing():
            storage = open_storage(place)
            self._main = Trials(storage, definition.name, self.space, self.objectives, folder)
            self._main.create(definition.identity)
            self._random = Trials(storage, f"{definition.name} (random)", self.space, self.objectives, folder, "random")
            if self.has_baseline:
                self._random.create({**definition.identity, "strategy": {"name": "random"}})

    def __repr__(self) -> str:
        return f"Search({str(self.path)!r})"

    @property
    def options(self) -> SearchOptions:
        return self.definition.search

    @property
    def has_baseline(self) -> bool:
        """Whether as many points drawn at random are trained for comparison."""
        return self.options.baseline and self.definition.strategy["name"] != "random"

    @property
    def strategy(self) -> Strategy:
        named = dict(self.definition.strategy)
        return strategy_named(named.pop("name"), named)

    @property
    def seed(self) -> int:
        return int(self.definition.options.get("seed") or 0)

    @cached_property
    def evaluate(self) -> Evaluate:
        """What measures a point: trainings, or what was given."""
        return self._evaluate or self.trainings

    @cached_property
    def trainings(self) -> Trainings:
        """Raises UsageError for a search over a function: it has no model to train."""
        if not self.definition.model:
            raise UsageError(f"{self.path} searched a function, not a model: there is nothing to train")
        return trainings(self.definition.model, self.definition.options, self.path, self.options)

    @property
    def trials(self) -> list[Trial]:
        """All trials in order of their numbers, those among them that repeat another."""
        with self._errors():
            return self._main.all()

    @property
    def random(self) -> list[Trial]:
        """The trials drawn at random, for comparison; those of the search where it is a random one."""
        if self.definition.strategy["name"] == "random":
            return self.trials
        with self._errors():
            return self._random.all() if self.has_baseline else []

    def score(self, trial: Trial) -> float | None:
        """The first objective of a trial that is complete, greater where better; not that of pruned and failed ones."""
        scores = self._main.scores(trial) if trial.state == "complete" else None
        return None if scores is None else scores[0]

    @property
    def best(self) -> Trial:
        """The chosen trial: the best of the first objective; where several seeds were trained, by their mean. Raises
        RunError where none is complete."""
        trials = self.trials
        again = self.result.get("seeds", {})
        if again:
            goal = self.objectives[0]
            number = max(again, key=lambda key: (goal.score(fmean(again[key])), -int(key)))
            return next(trial for trial in trials if trial.number == int(number))
        index = best_index([self.score(trial) if trial.repeats is None else None for trial in trials])
        if index is None:
            raise RunError(f"{self.path} has no complete trial yet")
        return trials[index]

    @property
    def front(self) -> list[Trial]:
        """The trials that none dominates, best of the first objective first. Raises UsageError for one objective."""
        if len(self.objectives) < 2:
            raise UsageError(
                f"a front needs several objectives, and {self.path} has one, {self.objectives[0].name}: give --minimize"
            )
        done = [trial for trial in self.trials if trial.state == "complete" and trial.repeats is None]
        scores = [self._main.scores(trial) or () for trial in done]
        chosen = [(scores[i], done[i]) for i in front(scores)]
        return [trial for _, trial in sorted(chosen, key=lambda pair: (pair[0], -pair[1].number), reverse=True)]

    @property
    def result(self) -> dict[str, Any]:
        """What was found once the trials were over: ``seeds``, ``test``; empty before."""
        path = self.path / RESULT
        if not path.is_file():
            return {}
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            raise RunError(f"{path} cannot be read: remove it, and it is made again by --resume") from None

    def work(self, show: Show | None = None, show_random: Show | None = None) -> None:
        """Work on trials until none is left: what each worker does."""
        with self._errors():
            allowed = self.trainings.allows if self._limited else None
            how = Work(
                strategy=self.strategy,
                seed=self.seed,
                count=self.options.trials,
                pruner=self.options.prune,
                length=self.definition.length,
                allowed=allowed,
            )
            work(self._main, self.evaluate, how, show)
            if self.has_baseline:
                known = {self.space.key(one.point): one for one in self._main.all() if one.state != "running"}
                how = dataclasses.replace(how, strategy=RandomSearch(), known=known)
                work(self._random, self.evaluate, how, show_random)

    @property
    def _limited(self) -> bool:
        return self.options.max_macs is not None or self.options.max_parameters is not None

    @property
    def over(self) -> bool:
        """Whether no trial is running."""
        return all(trial.state != "running" for trial in [*self.trials, *self.random])

    def finish(self) -> dict[str, Any]:
        """Once the trials are over: several seeds of the top ones, then the chosen one on the test split, once."""
        with exclusive(self.path / ".locks" / "finish"):
            result = self.result
            if self.definition.model and self.options.seeds > 1:
                result = self._with_seeds(result)
            best = self.best
            if result.get("trial") != best.number:
                result |= {"trial": best.number, "point": dict(best.point), "values": best.values, "test": None}
                if best.run:
                    run = open_run(self.path / best.run)
                    if "test" in run.source.splits:
                        result["test"] = {name: float(value) for name, value in run.evaluate("test").items()}
                self._keep(result)
        return result

    def _with_seeds(self, result: dict[str, Any]) -> dict[str, Any]:
        """The top trials trained again with other seeds, each once."""
        ranked = sorted(
            (trial for trial in self.trials if self.score(trial) is not None and trial.repeats is None),
            key=lambda trial: (-(self.score(trial) or 0.0), trial.number),
        )
        seeds: dict[str, list[float]] = result.get("seeds", {})
        for trial in ranked[: self.options.top]:
            assert trial.values is not None
            kept = seeds.setdefault(str(trial.number), [trial.values[0]])
            while len(kept) < self.options.seeds:
                kept.append(self._trained_again(trial, self.seed + len(kept)))
                self._keep({**result, "seeds": seeds})
        return {**result, "seeds": seeds}

    def _trained_again(self, trial: Trial, seed: int) -> float:
        name = f"{self._main.run_name(trial.number)}-seed{seed}"
        if (self.path / name / "config.yaml").is_file():
            training = prepare(None, {}, name=name, directory=self.path, resume=True)
        else:
            options = self.trainings.training_options(trial.point, seed=seed)
            training = prepare(self.definition.model, options, name=name, directory=self.path)
        for _ in stoppable(training.events()):
            pass
        return best_value(training)

    def _keep(self, result: Mapping[str, Any]) -> None:
        text = json.dumps(result, indent=1) + "\n"
        write_whole(self.path / RESULT, lambda file: file.write(text.encode()))

    def recipe(self, number: int | None = None) -> dict[str, Any]:
        """The whole recipe of a trial (default: the best), as ``config.yaml`` and ``--config`` have it, as long as the
        search's recipe says: ``lamina.train(config=...)``."""
        trial = self.best if number is None else self.trial(number)
        options = self.trainings.training_options(trial.point, full=True)
        config = make_config(self.definition.model, options)
        return with_places(config.to_dict(), config.data, self.path)

    def trial(self, number: int) -> Trial:
        """Raises UsageError for a number that is none."""
        trials = self.trials
        if not 0 <= number < len(trials):
            raise UsageError(f"{self.path} has {len(trials)} trials, numbered from 0: there is no trial {number}")
        return trials[number]

    def retrain(self, number: int | None = None, **options: Any) -> Run:
        """Train the found point in full, in a run of its own: it evaluates, predicts, exports.

        ``number``: another trial than the best. ``options`` are those of ``lamina.train``: ``epochs``, ``name``, ...
        """
        name = options.pop("name", f"{self.path.name}-best")
        directory = options.pop("directory", self.path.parent)
        return train(config=str(self.write_recipe(number)), name=name, directory=directory, **options)

    def write_recipe(self, number: int | None = None) -> Path:
        """The recipe of a trial as a file in the folder."""
        trial = self.best if number is None else self.trial(number)
        text = yaml.safe_dump(self.recipe(trial.number), sort_keys=False, allow_unicode=True)
        path = self.path / f"recipe-{trial.number:04d}.yaml"
        write_whole(path, lambda file: file.write(text.encode()))
        return path

    def report(self) -> Path:
        """Write report.html and return its path."""
        path = self.path / "report.html"
        page = load("lamina.search.page:render_search")(self).encode()
        write_whole(path, lambda file: file.write(page))
        return path

    def importances(self) -> dict[str, float]:
        """How much of the first objective's variance each decision explains (fANOVA); of those that every point makes.
        Empty with fewer than four complete trials, or where all are equal."""
        from lamina.search.importance import importances

        finished = self._main.finished([one for one in self.trials if one.repeats is None])
        return importances(self.space, finished, len(self.objectives))

    def _errors(self) -> Any:
        return storage_errors(self._place) if is_url(self._place) else _nothing()


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()


def trainings(model: str, options: Mapping[str, Any], folder: Path, search: SearchOptions) -> Trainings:
    """The evaluation of a search's trials."""
    return Trainings(
        model=model,
        options=options,
        folder=folder,
        minimize=tuple(search.minimize),
        proxy=search.proxy,
        shortened=search.shortened,
        max_macs=search.max_macs,
        max_parameters=search.max_parameters,
    )


def open_search(path: str | Path, evaluate: Callable[[Mapping[str, Any]], Any] | None = None) -> Search:
    """Open a search: ``open_search("runs/lenet5-digits-search").best``. Raises UsageError for another folder."""
    from lamina.search.functions import Function

    folder = Path(path)
    return Search(folder, Definition.read(folder), None if evaluate is None else Function(evaluate))


def begin(
    model: str,
    options: Mapping[str, Any],
    space: Space,
    strategy: Mapping[str, Any],
    search: SearchOptions,
    *,
    name: str | None = None,
    directory: str | Path = "runs",
    storage: str | None = None,
    resume: bool = False,
) -> Search:
    """A search over a model, checked before anything is written: new, or with ``resume``, or a ``storage`` that is
    given, that of the same name, joined or gone on with.

    Raises UsageError, DataError or RunError.
    """
    model = registry.canonical(model)
    options = {key: value for key, value in options.items() if value is not None and value != {}}
    _expect_one_process(options, strategy["name"])
    space = bound(space, model, options)
    chosen = strategy_named(strategy["name"], {key: value for key, value in strategy.items() if key != "name"})
    _expect_objectives(strategy["name"], chosen, search)
    data = options.get("data")
    if not isinstance(data, str | tuple | list):
        raise UsageError("a search needs data by name: an embedded set, a path, or hf:<dataset>@<revision>")
    if isinstance(data, str) and is_path(data):
        options["data"] = str(Path(data).expanduser().absolute())
    name = name or f"{model}-{short_name(data)}-search"
    check_name(name)
    folder = Path(directory) / name
    evaluation = trainings(model, options, folder, search)
    from random import Random

    random = Random(0)
    point = next((one for _ in range(ATTEMPTS) if evaluation.allows(one := space.sample(random))), None)
    if point is None:
        raise none_within()
    first = evaluation.first(point)
    unit, length = first.config.recipe.length
    definition = Definition(
        model=model,
        options=options,
        space=space.to_dict(),
        strategy=strategy,
        search=search,
        storage=place_of(storage),
        name=name,
        data=first.source.spec.fingerprint,
        objectives=tuple((one.name, one.maximize) for one in evaluation.objectives(first)),
        length=length if unit == "epochs" else math.ceil(length / max(first.stream.per_epoch, 1)),
    )
    return settle(folder, definition, join=resume or storage is not None)


def resumed(
    model: str, options: Mapping[str, Any], search: Mapping[str, Any], name: str | None, directory: str | Path
) -> Search:
    """A search to go on with, from its folder alone; ``search`` may have more trials. Raises UsageError for other
    options than it was begun with."""
    model = registry.canonical(model)
    _expect_one_process(options, "")
    folder = Path(directory) / (name or f"{model}-{short_name(options['data'])}-search")
    kept = Definition.read(folder)
    if model != kept.model:
        raise UsageError(f"{folder} searches {kept.model}, not {model}")
    for key, value in options.items():
        if (
            value is not None
            and value != {}
            and key != "data"
            and json_plain(kept.options.get(key)) != json_plain(value)
        ):
            raise UsageError(
                f"{folder} was begun with {key}={kept.options.get(key)}: it cannot be resumed with {value}"
            )
    values = {**dataclasses.asdict(kept.search), **search}
    return settle(folder, dataclasses.replace(kept, search=made(SearchOptions, values, "search option")), join=True)


def settle(folder: Path, definition: Definition, *, join: bool, evaluate: Evaluate | None = None) -> Search:
    """The search of a folder: written there, or the one that is there where it is the same. Where it is refused
    nothing is left."""
    new = not folder.exists()
    try:
        (folder / ".locks").mkdir(parents=True, exist_ok=True)
        with exclusive(folder / ".locks" / "definition"):
            if (folder / FILE).exists():
                if not join:
                    raise UsageError(f"{folder} is a search already: --resume goes on with it, --name makes another")
                _expect_same(folder, Definition.read(folder), definition)
            found = Search(folder, definition, evaluate)  # refuses a storage of another search: nothing is written yet
            text = yaml.safe_dump(definition.to_dict(), sort_keys=False, allow_unicode=True)
            write_whole(folder / FILE, lambda file: file.write(text.encode()))
    except OSError as error:
        raise RunError(f"cannot make a search in {folder}: {error.strerror}") from error
    finally:
        if new and not (folder / FILE).exists():
            shutil.rmtree(folder, ignore_errors=True)
    return found


def _expect_one_process(options: Mapping[str, Any], strategy: str) -> None:
    """Raise UsageError for options, or a launcher, by which a trial would be trained by several processes."""
    for name in ("devices", "num_nodes"):
        if (count := options.get(name, 1)) != 1:
            raise UsageError(
                f"--{name.replace('_', '-')} {count}: each trial of a search is trained by one process; --workers N "
                "trains N trials at once, lamina search retrain DIR --devices N the one that was found"
            )
    if strategy in get_args(get_type_hints(Recipe)["strategy"]) or options.get("strategy", "ddp") != "ddp":
        name = options.get("strategy", strategy)
        raise UsageError(
            f"strategy {name} is how several processes train a net, and each trial of a search is trained by one: give "
            "it to lamina search retrain DIR; --strategy of a search is how points are chosen (tpe, evolution, ...)"
        )
    if (found := launcher()) is not None and found.world > 1:
        raise UsageError(
            f"{found}, but a search starts its own (--workers N): run the same command once on each machine, with one "
            "--storage"
        )


def _expect_same(folder: Path, kept: Definition, given: Definition) -> None:
    before, now = kept.identity, given.identity
    for key, value in now.items():
        if before[key] != value:
            raise UsageError(f"{folder} is a search of another {key}: {shortly(before[key])}, not {shortly(value)}")
    if kept.storage != given.storage:
        raise UsageError(f"{folder} keeps its trials in {kept.storage}, not in {given.storage}")


def _expect_objectives(name: str, strategy: Strategy, search: SearchOptions) -> None:
    if search.minimize and not strategy.several:
        raise UsageError(
            f"the strategy {name} takes one objective: use nsga2, tpe, evolution or random with --minimize"
        )


def as_space(space: Space | Mapping[str, Any] | str | Path | Sequence[str]) -> Space:
    """A space as it may be given, perhaps of one point: itself, a mapping, a YAML file, or words such as
    ``lr=1e-4:1e-1:log``."""
    if isinstance(space, Space):
        return space
    if isinstance(space, Mapping):
        return Space.of(space, point=True)
    words = [str(space)] if isinstance(space, str | Path) else [str(word) for word in space]
    values: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        part = space_from_words({key: value}) if equals else read_space(word)
        for known in part:
            if known in values:
                raise UsageError(f"the space has '{known}' twice")
        values |= part
    return Space.of(values, point=True)


def flat_options(
    recipe: Recipe | None, model_options: Mapping[str, Any] | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of ``lamina.search`` as flat options of every training."""
    whole = {} if recipe is None else dataclasses.asdict(recipe)
    return {**whole, **options, "model": dict(model_options or {})}
