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

from lamina.data.catalogue import list_data
from lamina.registry import list_models
from lamina.studio import actions
from lamina.studio.abilities import SLIDERS, abilities
from lamina.studio.jobs import Trainings
from lamina.studio.shown import Shown, framed, tabled

TITLE = "Lamina studio"
FONTS = ["system-ui", "sans-serif"]
CSS = """
.gradio-container { max-width: 1100px !important; width: 100% !important; margin: 0 auto; }
main { width: 100% !important; }
footer { display: none !important; }
.gone { position: absolute !important; left: -100rem; visibility: hidden; }
.ask { align-items: end; }
.rows { overflow: auto; max-width: 100%; max-height: 26rem; }
.rows :is(table, thead, tbody, tr) { border: none !important; }
.rows table { border-collapse: collapse; border: none !important; font-size: 0.9rem; }
.rows th, .rows td { padding: 0.3rem 0.8rem !important; font-variant-numeric: tabular-nums;
  border: none !important; border-bottom: 1px solid var(--border-color-primary) !important; }
.rows thead th { position: sticky; top: 0; background: var(--body-background-fill); white-space: nowrap; }
.rows td:last-child { min-width: 12rem; }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); gap: 1rem;
  --ink: #1b2026; --muted: #5a6470; --rule: #dde1e6; --page: #ffffff; --series-1: #1f6fb2; --series-2: #c4570f;
  --series-3: #0b7d5d; --series-4: #9b4f90; --series-5: #2f93bb; --series-6: #8d7000; --series-7: #6b55a6;
  --series-8: #68717c; }
.dark .curves { --ink: #e6e8eb; --muted: #9da6b1; --rule: #31373f; --page: #14171b; --series-1: #62aee8;
  --series-2: #f0935a; --series-3: #4cc39b; --series-4: #d890cd; --series-5: #8ad3f1; --series-6: #d5b84c;
  --series-7: #ab98ea; --series-8: #a2a9b3; }
.curves figure { margin: 0; max-width: 26rem; }
.curves figcaption { font-weight: 600; font-size: 0.9rem; }
.curves svg { display: block; width: 100%; height: auto; }
:focus-visible { outline: 2px solid var(--color-accent) !important; outline-offset: 2px; }
"""
TAKE_BRUSH = """() => {
  let tries = 0;
  const take = () => {
    const brush = document.querySelector("#pad button[aria-label='Brush']");
    if (brush) brush.click(); else if (tries++ < 50) setTimeout(take, 100);
  };
  setTimeout(take, 300);
}"""
"""the pad begins without a tool"""
WORKING = "*Working ... the first time this takes some seconds.*"
"""what is shown while an action is under way"""
REFUSED = "What was given was not accepted: a picture that is none, or a file that was not uploaded here."
"""what is shown where the library refuses what was given before an action sees it"""


def make_page(runs: Path) -> gr.Blocks:
    """The page over a folder of runs."""
    trainings = Trainings(runs)
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        gr.Markdown("# Lamina studio")
        with gr.Tabs():
            with gr.Tab("Explore"):
                _explore(page, runs)
            with gr.Tab("Train"):
                _train(page, trainings)
            with gr.Tab("Try") as trying:
                _try(page, runs)
            trying.select(None, js=TAKE_BRUSH)
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


def _explore(page: gr.Blocks, runs: Path) -> None:
    with gr.Row(elem_classes="ask"):
        model = gr.Dropdown(sorted(list_models()), label="Architecture", value="lenet5", filterable=True)
        shown = gr.Button("Show its layers", variant="primary")
    out = _outputs("layers of the architecture")
    _does(shown, actions.explore, [model], out)
    gr.Markdown("## What a run computes for a picture or a sentence of yours")
    run = _runs(page, runs)
    with gr.Row():
        picture = _picture("Picture", 260)
        text = gr.Textbox(label="Sentence", lines=4)
    inside = gr.Button("Look inside")
    more = _outputs("inspection of the run")

    def look(name: str, image: str | None, words: str) -> Shown:
        return actions.look_inside(runs, name, Path(image) if image is not None else words)

    _does(inside, look, [run, picture, text], more)


def _train(page: gr.Blocks, trainings: Trainings) -> None:
    gr.Markdown("Training goes on when you close this page: it is found again under *Runs*.")
    with gr.Row():
        model = gr.Dropdown(["", *sorted(list_models())], label="Model (empty: advised from the data)", value="")
        data = gr.Dropdown(list(list_data()), label="Data: a name, or what you upload", allow_custom_value=True)
    with gr.Row():
        files = gr.File(label="Upload a CSV, a text, an archive, or several files", file_count="multiple", height=150)
        folder = gr.File(label="Upload a folder with a folder for each class", file_count="directory", height=150)
    with gr.Row():
        target = gr.Textbox(label="Target column (tables)")
        epochs = gr.Number(label="Epochs (0: chosen)", value=0, precision=0, minimum=0)
    with gr.Row():
        plan, start = gr.Button("Plan"), gr.Button("Train", variant="primary")
    out = _outputs("plan")
    with gr.Row(elem_classes="ask"):
        current = gr.Dropdown([], label="Runs: in training, or stopped", filterable=True, scale=2)
        stop, resume = gr.Button("Stop"), gr.Button("Resume")
    state = gr.Markdown(elem_id="state")
    curve = gr.HTML(elem_id="curves")
    drawn = gr.State("")
    said = _outputs("stopping and resuming")
    for given in (files, folder):
        given.upload(lambda paths: trainings.upload(paths if isinstance(paths, list) else [paths]), given, data)

    def options(target: str, epochs: float) -> dict[str, Any]:
        found: dict[str, Any] = {"target": target} if target else {}
        return found | ({"epochs": int(epochs)} if epochs else {})

    def planned(model: str, data: str, target: str, epochs: float) -> Shown:
        return trainings.plan(model, data or "", options(target, epochs))

    def started(model: str, data: str, target: str, epochs: float) -> Shown:
        return trainings.start(model, data or "", options(target, epochs))

    def listed() -> Any:
        """The runs that can be stopped or resumed; the page begins with the one in training."""
        names, running = trainings.unfinished(), trainings.in_training()
        return gr.Dropdown(choices=names, value=running[0] if running else None)

    def named(found: Shown) -> Any:
        """The run that was begun, in the list."""
        return gr.Dropdown(choices=trainings.unfinished(), value=found.note) if found.code else gr.Dropdown()

    fields = [model, data, target, epochs]
    _does(plan, planned, fields, out)
    _does(start, started, fields, out, also=(current, named))
    _does(resume, trainings.resume, [current], said)
    _does(stop, trainings.stop, [current], said)
    page.load(listed, None, current, show_progress="hidden")
    current.focus(lambda: gr.Dropdown(choices=trainings.unfinished()), None, current, show_progress="hidden")

    def tick(name: str, before: str) -> tuple[Any, Any, str]:
        """One line, and the curves where there is a new epoch."""
        line = trainings.state(name) if name else ""
        if line == before:
            return gr.skip(), gr.skip(), before
        return line, actions.learning_curves(trainings.runs, name), line

    gr.Timer(1.5).tick(tick, [current, drawn], [state, curve, drawn], show_progress="hidden")


def _try(page: gr.Blocks, runs: Path) -> None:
    run = _runs(page, runs)
    verbs = gr.Markdown()
    with gr.Column() as asking:
        with gr.Row() as pictures:
            pad = gr.Sketchpad(
                label="Draw", type="numpy", canvas_size=(280, 280), height=380, layers=False, elem_id="pad",
                brush=gr.Brush(default_size=22, colors=["#000000"], color_mode="fixed"),
            )  # fmt: skip
            with gr.Column():
                picture = _picture("or drop a picture", 180)
                style = _picture("Picture of the style, for a run that takes any", 180)
        with gr.Row() as words:
            text = gr.Textbox(label="Type a sentence, or a row as JSON", lines=3)
            file = gr.File(label="or drop a file: texts, rows, a history to forecast", height=130)
        options = gr.Textbox(label="Options of predict", placeholder="{}")
        with gr.Row():
            ask, look = gr.Button("Predict", variant="primary", elem_id="predict"), gr.Button("What it looked at")
        out = _outputs("what it looked at")

    def item(image: str | None, words: str, path: str | None) -> Any:
        given = path or image
        return Path(given) if given is not None else words

    def predicted(
        name: str, drawn: Any, image: str | None, words: str, path: str | None, more: str, second: str | None
    ) -> Shown:
        styled = Path(second) if second is not None else None
        return actions.predict(runs, name, item(image, words, path), drawn, more or "", styled)

    def looked(name: str, drawn: Any, image: str | None, words: str, path: str | None) -> Shown:
        return actions.look_inside(runs, name, item(image, words, path), drawn)

    fields = [run, pad, picture, text, file]
    _does(ask, predicted, [*fields, options, style], out)
    _does(look, looked, fields, out)
    with gr.Column() as making:
        gr.Markdown("## Generate")
        prompt = gr.Textbox(label="Prompt", lines=2)
        with gr.Row():
            seed = gr.Slider(0, 100, value=0, step=1, label="Seed", elem_id="seed")
            count = gr.Slider(1, 64, value=16, step=1, label="How many (samples, steps, tokens)", elem_id="count")
        with gr.Row():
            sliders = {
                name: gr.Slider(one.low, one.high, value=one.off, step=one.step, label=one.label, elem_id=name)
                for name, one in SLIDERS.items()
            }
        more = gr.Textbox(label="Options of generate", placeholder="{}")
        make = gr.Button("Generate", variant="primary", elem_id="generate")
        made = _outputs("generated")

    def generated(name: str, words: str, seed: float, count: float, given: str, *values: float) -> Shown:
        slid = dict(zip(sliders, values, strict=True))
        return actions.generate(runs, name, words, int(seed), int(count), given or "", slid)

    asked = [run, prompt, seed, count, more, *sliders.values()]
    _does(make, generated, asked, made)
    for slider in (seed, count, *sliders.values()):
        _does(slider, generated, asked, made)

    def fitted(name: str) -> list[Any]:
        """What fits the run is shown; what was found before is not."""
        can = abilities(runs, name)
        about = {verb: f"Options of {verb}: {line}" for verb, line in can.options.items()}
        return [
            gr.Markdown(value=_escaped(can.note)),
            gr.Column(visible=bool(can.asks)),
            gr.Row(
                elem_classes="" if can.pictures else "gone"
            ),  # a pad that is taken out of the page is never drawn again
            gr.Row(visible=not can.pictures),
            gr.Textbox(placeholder=can.example),
            gr.Image(visible=can.asks == "style"),
            gr.Textbox(label=about.get(can.asks, "")),
            gr.Button("Style" if can.asks == "style" else "Predict"),
            gr.Column(visible="generate" in can.verbs),
            gr.Textbox(visible=can.prompts),
            gr.Textbox(label=about.get("generate", "")),
            *(gr.Slider(visible=slider in can.sliders) for slider in sliders),
            *updates(Shown(), ""),
            *updates(Shown(), ""),
        ]

    parts = [verbs, asking, pictures, words, text, style, options, ask, making, prompt, more, *sliders.values()]
    changed = [*parts, *out.values(), *made.values()]
    run.change(fitted, run, changed, show_progress="hidden")
    page.load(fitted, run, changed, show_progress="hidden")


def _compare(runs: Path) -> None:
    chosen = gr.Dropdown(actions.run_names(runs), label="Runs (none: all)", multiselect=True)
    chosen.focus(lambda: gr.Dropdown(choices=actions.run_names(runs)), None, chosen, show_progress="hidden")
    button = gr.Button("Compare", variant="primary")
    out = _outputs("options in which they differ")
    _does(button, lambda names: actions.compare(runs, names or ()), [chosen], out)


def _claims() -> None:
    known = actions.claims()
    gr.HTML(tabled(known, "statements of the field"))
    name = gr.Dropdown([row["claim"] for row in known], label="Claim", filterable=True)
    button = gr.Button("Run it (seconds to minutes)", variant="primary")
    _does(button, actions.run_claim, [name], _outputs("figure of the claim"), limit=1)


# ---------------------------------------------------------------------- parts


def _runs(page: gr.Blocks, runs: Path) -> gr.Dropdown:
    """A choice of the runs there are when the page is opened, or the field is entered."""
    names = actions.run_names(runs)
    chosen = gr.Dropdown(names, label="Run", value=names[0] if names else None, filterable=True)

    def listed(known: str | None) -> Any:
        names = actions.run_names(runs)
        return gr.Dropdown(choices=names, value=known if known in names else names[0] if names else None)

    page.load(listed, chosen, chosen, show_progress="hidden")
    # the choices alone: one that is made while they are looked up must stand
    chosen.focus(lambda: gr.Dropdown(choices=actions.run_names(runs)), None, chosen, show_progress="hidden")
    return chosen


def _picture(label: str, height: int) -> gr.Image:
    """A picture as the file that was uploaded, in its own format: Lamina reads it as it reads any other."""
    return gr.Image(label=label, type="filepath", image_mode=None, height=height, sources=["upload", "clipboard"])


def _outputs(title: str) -> dict[str, Any]:
    """Where a result is shown; parts that it has not stay hidden."""
    return {
        "note": gr.Markdown(visible=False),
        "label": gr.Label(visible=False, num_top_classes=5, label="Prediction"),
        "text": gr.Textbox(visible=False, lines=4, label="Text", interactive=False),
        "rows": gr.HTML(visible=False),
        "curves": gr.HTML(visible=False),
        "pictures": gr.Gallery(
            visible=False, columns=4, object_fit="contain", height=460, label="Pictures", buttons=["download"]
        ),
        "html": gr.HTML(visible=False, elem_id=title.replace(" ", "-")),
        "code": gr.Code(
            visible=False, language="python", label="The same in Python", interactive=False, lines=3, wrap_lines=True,
            buttons=["copy"], show_line_numbers=False,
        ),
    }  # fmt: skip


def updates(found: Shown, title: str) -> list[Any]:
    """A result as what the parts of ``_outputs`` become."""
    return [
        gr.Markdown(value=_escaped(found.note), visible=bool(found.note)),
        gr.Label(value=dict(found.label) or None, visible=bool(found.label)),
        gr.Textbox(value=found.text, visible=bool(found.text)),
        gr.HTML(value=tabled(found.rows, title), visible=bool(found.rows)),
        gr.HTML(value=found.curves, visible=bool(found.curves)),
        gr.Gallery(
            value=[_shown(one) for one in found.pictures],
            visible=bool(found.pictures),
            columns=found.columns or min(8, max(1, len(found.pictures))),
        ),
        gr.HTML(value=framed(found.html, title), visible=bool(found.html)),
        gr.Code(value=found.code, visible=bool(found.code)),
    ]


def _shown(picture: Any) -> Any:
    """A picture (H, W, C) as the gallery takes it, small ones enlarged by a whole factor."""
    factor = max(1, 112 // max(picture.shape[:2]))
    large = picture.repeat(factor, 0).repeat(factor, 1)
    return large[..., 0] if large.ndim == 3 and large.shape[2] == 1 else large


def _escaped(text: str) -> str:
    """A note in Markdown without markup of its own."""
    return "".join(f"&#{ord(c)};" if c in "<>&*_`[]#|\\" else c for c in text)


def _does(
    part: Any,
    action: Callable[..., Shown],
    inputs: list[Any],
    out: dict[str, Any],
    also: tuple[Any, Callable[[Shown], Any]] | None = None,
    limit: int | None = 4,
) -> None:
    """Let a button show what an action gives; ``also``: another part, and what becomes of it. A slider shows it at
    once, by mouse and by keyboard; of positions that it passes while an action is under way the last one counts."""
    title = str(out["html"].elem_id).replace("-", " ")

    def called(*given: Any) -> list[Any]:
        found = action(*given)
        return [*updates(found, title), *([also[1](found)] if also is not None else [])]

    parts = [*out.values(), *([also[0]] if also is not None else [])]
    if isinstance(part, gr.Slider):
        part.input(called, inputs, parts, show_progress="hidden", trigger_mode="always_last", concurrency_limit=limit)
        return
    # the library's own sign of progress would lie over the whole page, since the parts are hidden
    begun = part.click(
        lambda: [gr.Markdown(WORKING, visible=True), *updates(Shown(), title)[1:]],
        None, list(out.values()), show_progress="hidden",
    )  # fmt: skip
    done = begun.then(called, inputs, parts, show_progress="hidden", concurrency_limit=limit)
    done.failure(lambda: gr.Markdown(REFUSED, visible=True), None, out["note"], show_progress="hidden")
