"""The page of a search: what was found, against points drawn at random, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from lamina.report.blocks import Block, Chart, Charts, Command, Pairs, Section, Table, Text
from lamina.report.templates import render
from lamina.report.wording import number
from lamina.search import figures
from lamina.search.cells import cells_of
from lamina.search.searching import Search
from lamina.search.space import shown
from lamina.search.trials import Trial

ROWS = 20
"""trials in the table of the best"""


def render_search(search: Search) -> str:
    """The whole page. All text is escaped."""
    trials = search.trials
    counted = [trial for trial in trials if trial.repeats is None]
    done = [trial for trial in counted if trial.state == "complete"]
    sections = [_progress(search, counted)] if done else []
    if len(search.objectives) > 1 and done:
        sections.append(_front(search, done))
    if done:
        sections += [_decisions(search, counted), *_architecture(search)]
    sections += [_table(search, counted), _cost(search, counted), _definition(search)]
    return render(
        "search.html",
        package="lamina.search",
        name=search.path.name,
        model=search.definition.model or "a function",
        data=_data(search),
        over=search.over,
        states=_states(counted, trials),
        found=_found(search) if done else None,
        sections=[section for section in sections if section.blocks],
    )


def _data(search: Search) -> str:
    data = search.definition.options.get("data", "")
    return " and ".join(Path(str(one)).name for one in (data if isinstance(data, list | tuple) else [data]) if one)


def _states(counted: Sequence[Trial], trials: Sequence[Trial]) -> list[str]:
    counts = {
        state: sum(one.state == state for one in counted) for state in ("complete", "pruned", "failed", "running")
    }
    words = [f"{count} {state}" for state, count in counts.items() if count]
    repeats = len(trials) - len(counted)
    return words + ([f"{repeats} proposed again"] if repeats else [])


def _found(search: Search) -> Pairs:
    best, result = search.best, search.result
    pairs = [("trial", str(best.number))]
    pairs += [
        (f"{own.name}, validation" if i == 0 and search.definition.model else own.name, number(value))
        for i, (own, value) in enumerate(zip(search.objectives, best.values or (), strict=False))
    ]
    if (again := result.get("seeds", {}).get(str(best.number))) is not None:
        pairs.append(("with other seeds", ", ".join(number(value) for value in again[1:])))
    test = result.get("test") or {}
    if search.objectives[0].name in test:
        pairs.append((f"{search.objectives[0].name}, test", number(test[search.objectives[0].name])))
    return Pairs(pairs=pairs + [(name, shown(value)) for name, value in best.point.items()])


def _progress(search: Search, counted: Sequence[Trial]) -> Section:
    goal = search.objectives[0]
    scores = [search.score(trial) for trial in counted]
    random = [search.score(trial) for trial in search.random if trial.repeats is None]
    whole = "as many points" if len(random) >= len(counted) else f"{len(random)} points"
    note = f"random: the best of as many, expected over the orders of {whole} drawn at random"
    if not search.random:
        random = [search.score(trial) for trial in counted if trial.random]
        note = (
            f"random: the best of as many, expected over the {len(random)} trials that were drawn at random; "
            "without --no-baseline as many as the search has are trained"
        )
    charts = [Chart(title=f"Best {goal.name} so far", svg=figures.best_so_far(goal, scores, random), note=note)]
    curves = {trial.number: (trial.curve, trial.state) for trial in counted if len(trial.curve) > 1}
    if curves:
        drawn = figures.learning_curves(goal, curves)
        charts.append(Chart(title="Trials by epoch", svg=drawn, note="best value so far; dashed: pruned"))
    return Section(name="progress", title="Progress", blocks=[Charts(charts=charts)])


def _front(search: Search, done: Sequence[Trial]) -> Section:
    chosen = search.front
    numbers = {trial.number for trial in chosen}
    charts = [
        Chart(
            title=f"{search.objectives[0].name} and {other.name}",
            svg=figures.front(
                search.objectives[0],
                other,
                [(trial.values[0], trial.values[i], trial.number in numbers) for trial in done if trial.values],
            ),
        )
        for i, other in enumerate(search.objectives[1:], 1)
    ]
    names = [own.name for own in search.objectives]
    rows = [
        [str(trial.number), *map(number, trial.values or ()), search.space.describe(trial.point)] for trial in chosen
    ]
    table = Table(
        title="Pareto front: trials that no other is better than in one objective and as good as in all",
        columns=["trial", *names, "point"],
        rows=rows,
        words=frozenset({0, len(names) + 1}),
    )
    return Section(name="front", title="Pareto front", blocks=[Charts(charts=charts), table])


def _decisions(search: Search, counted: Sequence[Trial]) -> Section:
    goal, charts = search.objectives[0], []
    shares = search.importances()
    if shares:
        note = "share of the variance that each decision explains (fANOVA), of the decisions that every trial makes"
        charts.append(Chart(title="Importance", svg=figures.importances(shares), note=note))
    lines = [(trial.point, search.score(trial)) for trial in counted]
    lines = [(point, score) for point, score in lines if score is not None]
    blocks: list[Block] = [Charts(charts=charts)] if charts else []
    if len(lines) > 1 and len(search.space.decisions) > 1:
        drawn = figures.parallel(search.space, goal, [(point, score or 0.0) for point, score in lines])
        note = (
            "one line a trial, darker the better; the best is emphasised; a line has a gap where a decision is not made"
        )
        blocks.append(Charts(charts=[Chart(title="Trials across the decisions", svg=drawn, note=note)], large=True))
    return Section(name="decisions", title="Decisions", blocks=blocks)


def _architecture(search: Search) -> list[Section]:
    """The cells of the best architecture, where its config has any."""
    if not search.definition.model:
        return []
    cells = cells_of(search.definition.model, search.recipe()["model"])
    if not cells:
        return []
    charts = [Chart(title=name, svg=figures.cell(name, cell)) for name, cell in cells.items()]
    return [Section(name="architecture", title="The best architecture", blocks=[Charts(charts=charts, large=True)])]


def _table(search: Search, counted: Sequence[Trial]) -> Section:
    names = [own.name for own in search.objectives]

    def key(trial: Trial) -> tuple[bool, float, int]:
        score = search.score(trial)
        return score is None, -(score or 0.0), trial.number

    rows = []
    for trial in sorted(counted, key=key)[:ROWS]:
        values = [number(value) for value in trial.values or ()] or ["-"] * len(names)
        state = f"{trial.state}: {trial.error}" if trial.error else trial.state
        rows.append([str(trial.number), *values, state, f"{trial.seconds:.1f}", search.space.describe(trial.point)])
    title = "Trials, the best first" + (f": {ROWS} of {len(counted)}" if len(counted) > ROWS else "")
    words = frozenset({0, len(names) + 1, len(names) + 3})
    table = Table(title=title, columns=["trial", *names, "state", "seconds", "point"], rows=rows, words=words)
    return Section(name="trials", title="Trials", blocks=[table] if rows else [])


def _cost(search: Search, counted: Sequence[Trial]) -> Section:
    pairs = []
    fresh = [trial for trial in search.random if trial.repeats is None and trial.copied is None]
    groups = {"search": list(counted)} | ({"random baseline": fresh} if search.has_baseline else {})
    for name, trials in groups.items():
        seconds = sum(trial.seconds for trial in trials)
        epochs = sum(int(trial.info.get("epochs", 0)) for trial in trials)
        words = [f"{len(trials)} trials", _clock(seconds)] + ([f"{epochs} epochs"] if epochs else [])
        pairs.append((name, ", ".join(words)))
    again = sum(max(len(values) - 1, 0) for values in search.result.get("seeds", {}).values())
    if again:
        pairs.append(("other seeds", f"{again} trainings"))
    return Section(name="cost", title="Cost", blocks=[Pairs(pairs=pairs)])


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} hours" if hours else f"{minutes}:{rest:02} minutes"


def _definition(search: Search) -> Section:
    size = search.space.size
    strategy = dict(search.definition.strategy)
    options = ", ".join(f"{key} {value}" for key, value in strategy.items() if key != "name")
    conditions = {
        decision.name: " and ".join(
            f"{other}={'|'.join(map(shown, values))}" for other, values in decision.when.items()
        )
        for decision in search.space.decisions
    }
    rows = [[decision.name, str(decision), conditions[decision.name]] for decision in search.space.decisions]
    conditional = any(conditions.values())
    table = Table(
        title="Space",
        columns=["decision", "values", *(["where"] if conditional else [])],
        rows=[row if conditional else row[:2] for row in rows],
        words=frozenset({0, 1, 2}),
        note=f"{size:,.0f} points" if math.isfinite(size) else "infinitely many points",
    )
    pairs = [("strategy", f"{strategy['name']}{f' ({options})' if options else ''}"), ("seed", str(search.seed))]
    pairs += [("pruning", search.options.prune)] if search.options.prune != "none" else []
    pairs += [("trials", f"{search.options.trials}"), ("storage", search.definition.storage.rpartition("@")[2])]
    blocks: list[Block] = [Pairs(pairs=pairs), table]
    if search.definition.model:
        blocks += [
            Text(text="The best point, trained in full:"),
            Command(text=f"lamina search retrain {search.path}"),
        ]
    return Section(name="definition", title="What was searched", blocks=blocks)
