"""The page of the studio, by Gradio: five tabs whose buttons call the functions of ``actions`` and ``jobs``.

Only what is here needs Gradio. No request leaves the machine: no analytics, no fonts of others, no share link.
"""

from __future__ import annotations

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when the library is imported
os.environ["HF_HUB_OFFLINE"] = "1"

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd

from lamina.data.catalogue import list_data
from lamina.registry import list_models
from lamina.studio import actions
from lamina.studio.jobs import Trainings
from lamina.studio.shown import Shown, framed

TITLE = "Lamina studio"
FONTS = ["system-ui", "sans-serif"]
CSS = """
.gradio-container { max-width: 1100px !important; width: 100% !important; margin: 0 auto; }
main { width: 100% !important; }
table { font-variant-numeric: tabular-nums; }
footer { display: none !important; }
"""
WORKING = "*Working ... the first time this takes some seconds.*"
"""what is shown while an action is under way"""


def make_page(runs: Path) -> gr.Blocks:
    """The page over a folder of runs."""
    trainings = Trainings(runs)
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        gr.Markdown("# Lamina studio")
        with gr.Tabs():
            with gr.Tab("Explore"):
                _explore(runs)
            with gr.Tab("Train"):
                _train(trainings)
            with gr.Tab("Try"):
                _try(runs)
            with gr.Tab("Compare"):
                _compare(runs)
            with gr.Tab("Claims"):
                _claims()
    return page


def launch(page: gr.Blocks, host: str, port: int) -> None:
    """Serve the page until Ctrl-C: on this machine alone, without a link that others can open."""
    page.launch(
        server_name=host, server_port=port, share=False, ssr_mode=False, quiet=True, inbrowser=False,
        allowed_paths=[], theme=gr.themes.Base(font=FONTS, font_mono=["ui-monospace", "monospace"]), css=CSS,
        max_file_size="200mb", footer_links=[], mcp_server=False,
    )  # fmt: skip


# ---------------------------------------------------------------------- the tabs


def _explore(runs: Path) -> None:
    with gr.Row():
        model = gr.Dropdown(sorted(list_models()), label="Architecture", value="lenet5", filterable=True)
        shown = gr.Button("Show its layers", variant="primary")
    out = _outputs("layers of the architecture")
    _does(shown, actions.explore, [model], out)
    gr.Markdown("### What a run computes for a picture or a sentence of yours")
    run = _runs(runs)
    with gr.Row():
        picture = gr.Image(label="Picture", type="numpy", height=260)
        text = gr.Textbox(label="Sentence", lines=4)
    inside = gr.Button("Look inside")
    more = _outputs("inspection of the run")

    def look(name: str, image: Any, words: str) -> Shown:
        return actions.look_inside(runs, name, image if image is not None else words)

    _does(inside, look, [run, picture, text], more)


def _train(trainings: Trainings) -> None:
    gr.Markdown("Training goes on when you close this page: it is found again under *Runs in training*.")
    with gr.Row():
        model = gr.Dropdown(["", *sorted(list_models())], label="Model (empty: advised from the data)", value="")
        data = gr.Dropdown(list(list_data()), label="Data: a name, or what you upload", allow_custom_value=True)
    files = gr.File(label="Upload a CSV, a text, an archive, or several files", file_count="multiple")
    folder = gr.File(label="Upload a folder with a folder for each class", file_count="directory")
    with gr.Row():
        target = gr.Textbox(label="Target column (tables)")
        epochs = gr.Number(label="Epochs (0: chosen)", value=0, precision=0, minimum=0)
    with gr.Row():
        plan, start = gr.Button("Plan"), gr.Button("Train", variant="primary")
    with gr.Row():
        current = gr.Dropdown(choices=trainings.in_training(), label="Runs in training", allow_custom_value=True)
        stop, resume = gr.Button("Stop"), gr.Button("Resume")
    state = gr.Markdown(elem_id="state")
    curve = gr.LinePlot(x="epoch", y="value", color="metric", label="Curves", height=300)
    out = _outputs("plan")
    for given in (files, folder):
        given.upload(lambda paths: trainings.upload(paths if isinstance(paths, list) else [paths]), given, data)

    def options(target: str, epochs: float) -> dict[str, Any]:
        found: dict[str, Any] = {"target": target} if target else {}
        return found | ({"epochs": int(epochs)} if epochs else {})

    def planned(model: str, data: str, target: str, epochs: float) -> Shown:
        return trainings.plan(model, data or "", options(target, epochs))

    def started(model: str, data: str, target: str, epochs: float) -> Shown:
        return trainings.start(model, data or "", options(target, epochs))

    fields = [model, data, target, epochs]
    _does(plan, planned, fields, out)
    _does(start, started, fields, out, also=(current, _named))
    _does(resume, trainings.resume, [current], out)
    _does(stop, trainings.stop, [current], out)

    def tick(name: str) -> tuple[Any, Any, Any]:
        choices = gr.Dropdown(choices=trainings.in_training())
        if not name:
            return "", None, choices
        return trainings.state(name), _drawn(actions.curves(trainings.runs, [name])), choices

    gr.Timer(1.0).tick(tick, current, [state, curve, current], show_progress="hidden")


def _named(found: Shown) -> Any:
    """The run that was begun, in the list of those in training."""
    return gr.Dropdown(value=found.note) if found.code else gr.Dropdown()


def _try(runs: Path) -> None:
    run = _runs(runs)
    verbs = gr.Markdown()
    run.change(
        lambda name: f"It has: {', '.join(actions.verbs_of(runs, name)) or 'no weights yet'}.",
        run,
        verbs,
        show_progress="hidden",
    )
    with gr.Row():
        pad = gr.Sketchpad(
            label="Draw", type="numpy", canvas_size=(280, 280), height=380, layers=False, elem_id="pad",
            brush=gr.Brush(default_size=22, colors=["#000000"], color_mode="fixed"),
        )  # fmt: skip
        with gr.Column():
            picture = gr.Image(label="or drop a picture", type="numpy", height=180)
            text = gr.Textbox(label="or type a sentence, or a row as JSON", lines=2)
            file = gr.File(label="or drop a file: rows to predict, a history to forecast")
    options = gr.Textbox(label="Options of the verb, as JSON", placeholder='{"walk": 0}, {"temperature": 0.8}')
    ask, look = gr.Button("Predict", variant="primary", elem_id="predict"), gr.Button("What it looked at")
    out = _outputs("what it looked at")

    def item(image: Any, words: str, path: str | None) -> Any:
        return Path(path) if path else image if image is not None else words

    def predicted(name: str, drawn: Any, image: Any, words: str, path: str | None, more: str) -> Shown:
        return actions.predict(runs, name, item(image, words, path), drawn, more or "")

    def looked(name: str, drawn: Any, image: Any, words: str, path: str | None, more: str) -> Shown:
        return actions.look_inside(runs, name, item(image, words, path), drawn)

    fields = [run, pad, picture, text, file, options]
    _does(ask, predicted, fields, out)
    _does(look, looked, fields, out)
    gr.Markdown("### Generate")
    with gr.Row():
        prompt = gr.Textbox(label="Prompt (language models)", lines=2)
        seed = gr.Slider(0, 100, value=0, step=1, label="Seed", elem_id="seed")
        count = gr.Slider(1, 64, value=16, step=1, label="How many (samples, tokens)")
    more = gr.Textbox(label="Options, as JSON", placeholder='{"style_mix": [3, 3]}, {"truncation": 0.7}')
    make = gr.Button("Generate", elem_id="generate")
    made = _outputs("generated")

    def generated(name: str, words: str, seed: float, count: float, given: str) -> Shown:
        return actions.generate(runs, name, words, int(seed), int(count), given or "")

    given = [run, prompt, seed, count, more]
    _does(make, generated, given, made)
    _does(seed, generated, given, made, event="release")


def _compare(runs: Path) -> None:
    chosen = gr.Dropdown(actions.run_names(runs), label="Runs (none: all)", multiselect=True)
    chosen.focus(lambda: gr.Dropdown(choices=actions.run_names(runs)), None, chosen, show_progress="hidden")
    button = gr.Button("Compare", variant="primary")
    out = _outputs("options in which they differ")
    curve = gr.LinePlot(x="epoch", y="value", color="run", label="Curves of the watched loss", height=300)
    _does(button, lambda names: actions.compare(runs, names or ()), [chosen], out)

    def drawn(names: list[str] | None) -> Any:
        rows = actions.curves(runs, names or actions.run_names(runs)[:8])
        return _drawn([row for row in rows if row["metric"] == "validation_loss"])

    button.click(drawn, chosen, curve, show_progress="hidden")


def _claims() -> None:
    known = actions.claims()
    gr.Dataframe(pd.DataFrame(known), wrap=True, interactive=False, max_height=360, label="Statements of the field")
    name = gr.Dropdown([row["claim"] for row in known], label="Claim", filterable=True)
    button = gr.Button("Run it (seconds to minutes)", variant="primary")
    _does(button, actions.run_claim, [name], _outputs("figure of the claim"), limit=1)


# ---------------------------------------------------------------------- parts


def _runs(runs: Path) -> gr.Dropdown:
    names = actions.run_names(runs)
    chosen = gr.Dropdown(names, label="Run", value=names[0] if names else None, filterable=True)
    chosen.focus(lambda: gr.Dropdown(choices=actions.run_names(runs)), None, chosen, show_progress="hidden")
    return chosen


def _outputs(title: str) -> dict[str, Any]:
    """Where a result is shown; parts that it has not stay hidden."""
    return {
        "note": gr.Markdown(visible=False),
        "label": gr.Label(visible=False, num_top_classes=5, label="Prediction"),
        "text": gr.Textbox(visible=False, lines=4, label="Text", interactive=False),
        "rows": gr.Dataframe(visible=False, wrap=True, interactive=False, label="Rows"),
        "pictures": gr.Gallery(visible=False, columns=4, height="auto", label="Pictures"),
        "html": gr.HTML(visible=False, elem_id=title.replace(" ", "-")),
        "code": gr.Code(visible=False, language="python", label="The same in Python", interactive=False),
    }


def updates(found: Shown, title: str) -> list[Any]:
    """A result as what the parts of ``_outputs`` become."""
    rows = pd.DataFrame(found.rows) if found.rows else None
    return [
        gr.Markdown(value=_escaped(found.note), visible=bool(found.note)),
        gr.Label(value=dict(found.label) or None, visible=bool(found.label)),
        gr.Textbox(value=found.text, visible=bool(found.text)),
        gr.Dataframe(value=rows, visible=bool(found.rows)),
        gr.Gallery(value=[_shown(one) for one in found.pictures], visible=bool(found.pictures)),
        gr.HTML(value=framed(found.html, title), visible=bool(found.html)),
        gr.Code(value=found.code, visible=bool(found.code)),
    ]


def _drawn(rows: list[dict[str, Any]]) -> Any:
    """Rows of curves as a plot takes them: numbers as numbers, or the axes would be of words. None: nothing yet."""
    return pd.DataFrame(rows).astype({"epoch": "float64", "value": "float64"}) if rows else None


def _shown(picture: Any) -> Any:
    """A picture (H, W, C) as the gallery takes it, small ones enlarged by a whole factor."""
    factor = max(1, 112 // max(picture.shape[:2]))
    large = picture.repeat(factor, 0).repeat(factor, 1)
    return large[..., 0] if large.ndim == 3 and large.shape[2] == 1 else large


def _escaped(text: str) -> str:
    """A note in Markdown without markup of its own."""
    return "".join(f"&#{ord(c)};" if c in "<>&*_`[]#|\\" else c for c in text)


def _does(
    button: Any,
    action: Callable[..., Shown],
    inputs: list[Any],
    out: dict[str, Any],
    also: tuple[Any, Callable[[Shown], Any]] | None = None,
    event: str = "click",
    limit: int | None = 4,
) -> None:
    """Let a button show what an action gives; ``also``: another part, and what becomes of it."""
    title = str(out["html"].elem_id).replace("-", " ")

    def called(*given: Any) -> list[Any]:
        found = action(*given)
        return [*updates(found, title), *([also[1](found)] if also is not None else [])]

    parts = [*out.values(), *([also[0]] if also is not None else [])]
    # the library's own sign of progress would lie over the whole page, since the parts are hidden
    begun = getattr(button, event)(
        lambda: gr.Markdown(WORKING, visible=True), None, out["note"], show_progress="hidden"
    )
    begun.then(called, inputs, parts, show_progress="hidden", concurrency_limit=limit)
