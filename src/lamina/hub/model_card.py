"""The model card of a run: its head of metadata as the hub reads it, and a page of facts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from lamina.report.wording import metric_name, number
from lamina.runs.run import Run
from lamina.version import __version__

PIPELINES = {
    "classification/image": "image-classification",
    "classification/text": "text-classification",
    "classification/table": "tabular-classification",
    "multilabel/image": "image-classification",
    "multilabel/text": "text-classification",
    "regression/table": "tabular-regression",
    "language-modelling/text": "text-generation",
    "translation/text": "translation",
    "forecasting/series": "time-series-forecasting",
    "adversarial/image": "unconditional-image-generation",
    "style-adversarial/image": "unconditional-image-generation",
    "variational/image": "unconditional-image-generation",
    "image-translation/image": "image-to-image",
    "style-transfer/image": "image-to-image",
}
"""the hub's names of what a model does, by task and modality"""
VERSE = {
    "predict": "run.predict({item})",
    "generate": "run.generate({prompt})",
    "style": 'run.style("photo.jpg")',
    "embed": "run.embed({item})",
}


def model_card(run: Run, place: str, licence: str | None) -> str:
    """README.md of a repository: ``model_card(run, "hf:me/digits", "apache-2.0")``."""
    head = yaml.safe_dump(metadata(run, licence), sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n" + "\n".join(_lines(run, place, licence)) + "\n"


def metadata(run: Run, licence: str | None) -> dict[str, Any]:
    """The head of a model card: licence, tags, what it does, and its metrics as ``model-index``."""
    found: dict[str, Any] = {} if licence is None else {"license": licence}
    pipeline = PIPELINES.get(f"{run.task_name}/{run.preprocess.kind}")
    found |= {"library_name": "lamina", "tags": ["lamina", run.config.name, run.task_name]}
    if pipeline is not None:
        found["pipeline_tag"] = pipeline
    languages = list(run.directory.read("data.json").get("languages") or ())
    if all(len(one) in (2, 3) for one in languages) and languages:
        found["language"] = languages
    split, metrics = judged(run)
    if metrics:
        result = {
            "task": {"type": pipeline or run.task_name, "name": run.task_name},
            "dataset": {"type": "other", "name": data_name(run), "split": split},
            "metrics": [{"type": name, "name": metric_name(name), "value": value} for name, value in metrics.items()],
        }
        found["model-index"] = [{"name": run.config.name, "results": [result]}]
    return found


def judged(run: Run) -> tuple[str, dict[str, float]]:
    """The split and the metrics that the run states of its weights: of its report, or of its best epoch."""
    results = run.directory.results()
    if results.get("metrics"):
        return str(results["split"]), _finite(results["metrics"])
    best: Mapping[str, Any] = next((row for row in reversed(run.history) if row.get("best")), {})
    group = "validation_"
    return "validation", _finite({k.removeprefix(group): v for k, v in best.items() if k.startswith(group)})


def _finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(v) for name, v in metrics.items() if isinstance(v, int | float) and math.isfinite(v)}


def data_name(run: Run) -> str:
    return str(run.directory.read("data.json").get("name", "unknown"))


def _lines(run: Run, place: str, licence: str | None) -> Iterator[str]:
    facts, data = run.facts(), run.directory.read("data.json")
    title = facts.get("title") or run.config.name
    yield f"# {title} on {_plain(data_name(run))}"
    yield ""
    yield f"{_plain(facts.get('summary') or 'A module of its own.')}  "
    yield f"Task: {run.task_name}, on {run.modality.noun}. Trained with [Lamina] {__version__}."
    yield ""
    yield from ("## How to use it", "", "```python", "import lamina", f'run = lamina.open_run("{place}")')
    yield from (_use(run), "```", "")
    if "variant" not in run.card:
        yield from ("The model is a module of the author's own: `open_run` needs it as `model=`.", "")
    split, metrics = judged(run)
    yield from ("## Results", "")
    if metrics:
        yield from (f"On the {split} split:", "", "| metric | value |", "|---|---|")
        yield from (f"| {_plain(metric_name(name))} | {number(value)} |" for name, value in metrics.items())
    else:
        yield "It was not evaluated."
    yield from ("", "## Data", "")
    sizes = ", ".join(f"{size:,} {_plain(name)}" for name, size in (data.get("sizes") or {}).items())
    yield f"{_plain(data_name(run))}: {sizes or 'sizes are not known'}."
    if data.get("licence"):
        yield f"Licence or origin of the data: {_plain(data['licence'])}."
    if run.classes:
        shown = ", ".join(map(_plain, run.classes[:50]))
        yield f"Classes or targets: {shown}{', ...' if len(run.classes) > 50 else ''}."
    yield from ("", "## Model", "")
    yield f"`{run.config.name}`, {_count(run.card.get('parameters'))} parameters."
    if facts.get("paper"):
        yield f"Paper: {facts.get('authors')}, *{_plain(facts['paper'])}*, {facts.get('year')}."
    for difference in facts.get("differences") or ():
        yield f"- differs from the paper: {_plain(difference)}"
    yield from ("", "## Limits", "")
    known = f"{run.modality.noun} like its training data, {_plain(data_name(run))}"
    yield f"- It knows {known}; on others it was not judged."
    for note in (*run.preprocess.notes, *_shortfalls(run, split, metrics)):
        yield f"- {_plain(note)}"
    yield "- `preprocess.json` holds what was fitted on the training data: means, and names of columns and categories."
    yield from ("", "## Licence", "")
    yield licence or "The author states none."
    yield from ("", "[Lamina]: https://pypi.org/project/lamina/")


def _shortfalls(run: Run, split: str, metrics: Mapping[str, float]) -> list[str]:
    """Where the model is no better than a constant; of a task of the author's own that is not known."""
    return [] if run.kind is None or not metrics else run.shortfalls(split, metrics)


def _use(run: Run) -> str:
    verb = next((one for one in VERSE if one in run.verbs), "evaluate")
    prompt = '"Once upon a time"' if run.view.takes_prompts else "count=16"
    return VERSE.get(verb, "run.evaluate()").format(item=run.modality.example, prompt=prompt)


def _count(parameters: Any) -> str:
    if isinstance(parameters, Mapping):
        return ", ".join(f"{name} {count:,}" for name, count in parameters.items())
    return f"{parameters:,}" if isinstance(parameters, int) else "an unknown number of"


def _plain(text: object) -> str:
    """A text of data or cards in Markdown: one line, no markup of its own."""
    line = " ".join(str(text).split()).replace("|", "\\|").replace("`", "'")
    return line.replace("<", "&lt;").replace(">", "&gt;").replace("[", "\\[")
