"""StyleGAN, StyleGAN2 and CycleGAN at sizes that a processor reaches. Each experiment trains through the public API,
with settings that were committed before it was judged. One thread, CPU time of the process; pictures go to
docs/gallery.

    python -m benchmarks.styles                # all experiments; what was measured before is not measured again
    python -m benchmarks.styles digits pairs   # some of them
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import lamina
from benchmarks.adversarial import RAREST, nearest, pictures, probabilities
from benchmarks.laboratory import Laboratory, Row, Values, main, where
from lamina.cli.main import main as command
from lamina.report.picture_grid import animation_gif, grid_png
from lamina.runs.image.translation import some_of, triptychs
from lamina.tasks.sample_metrics.scores import SURE, recognised
from lamina.training.events import StepDone

GALLERY = Path(__file__).parents[1] / "docs" / "gallery"
JUDGE: dict[str, Any] = {"config": "lenet5-digits"}
SAMPLES = 4000

# chosen on seed 7; pictures without end, as the limit on CPU seconds ends the training
DIGITS: dict[str, Any] = {
    "data": "digits",
    "images": 10_000_000,
    "validation": 0.0,
    "batch_size": 16,
    "lr": 0.002,
    "ema": 0.998,
    "objective": {
        "name": "non-saturating",
        "r1": 0.3,
        "start": 4,
        "stable_images": 4000,
        "fade_images": 4000,
        "batch_sizes": [16],
        "rates": [1],
    },
    "model_options": {
        "image_size": 16,
        "base": 128,
        "widest": 32,
        "latent": 32,
        "style": 32,
        "mapping_layers": 4,
    },
}
DIGITS_LIMIT = 285.0
"""CPU seconds of training; an epoch more ends within five minutes"""
DIGITS_BAR = 0.45

PAIR_STEPS = 4000
PAIR: dict[str, Any] = {
    "steps": PAIR_STEPS,
    "batch_size": 8,
    "lr": 0.0005,
    "validation": 0.0,
    "flip": False,
    "ema": 0.99,
    "schedule": "linear",
    "decay_start": 0.5,
    "objective": {"name": "least-squares", "identity": 0.0},
    "model_options": {
        "image_size": 16,
        "width": 16,
        "blocks": 2,
        "discriminator_width": 16,
        "discriminator_layers": 1,
    },
}
SIDES_END = (750, 1500)
"""digits of side A, those of side B, and the test digits after them, which both sides have"""
SEEDS = (0, 1, 2)

FLOWERS: dict[str, Any] = {
    "data": "$LAMINA_DATA/unpaired_daisy2sunflower/unpaired_daisy2sunflower.tar.gz",
    "steps": 200,
    "batch_size": 2,
    "seed": 0,
    "model_options": {"image_size": 64, "width": 32, "blocks": 6, "discriminator_width": 32},
}
CLOSED_AT = 120

FACES: dict[str, Any] = {
    "data": "$LAMINA_DATA/orl_faces/att_faces.tar.gz",
    "images": 10_000_000,
    "validation": 0.0,
    "test": 0.0,
    "resize": "crop",
    "batch_size": 16,
    "lr": 0.002,
    "ema": 0.998,
    "seed": 0,
    "objective": {
        "name": "non-saturating",
        "r1": 0.2,
        "r1_interval": 16,
        "path_length": 2,
        "augment_target": 0.6,
        "augment_images": 20_000,
    },
}
FACES_LIMIT = 890.0


def digits(laboratory: Laboratory) -> Iterator[Row]:
    """A growing StyleGAN before a classifier that has seen real digits."""
    found = []
    for seed in SEEDS:
        given = {**DIGITS, "seed": seed}

        def measure(given: dict[str, Any] = given, seed: int = seed) -> Values:
            run, seconds = laboratory.train("stylegan-32", given, limit=DIGITS_LIMIT)
            judge, _ = laboratory.train(None, JUDGE)
            made = run.generate(count=SAMPLES, seed=0)
            share, rarest = recognised(probabilities(judge, made))
            train, test = (pictures(run, split) for split in ("train", "test"))
            one = run.generate(count=8, seed=0, truncation=0.0)
            if seed == SEEDS[0]:
                _styles(run, "stylegan-digits")
            return {
                "recognised": share,
                "rarest": rarest,
                "real": recognised(probabilities(judge, test))[0],
                "nearest": nearest(made, train),
                "real_nearest": nearest(test, train),
                "side": made[0].shape[0],
                "of_truncation_0": len({picture.tobytes() for picture in one}),
                "steps": run.history[-1]["step"],
                "training": seconds,
            }

        judged = {**given, "limit": DIGITS_LIMIT, "judge": JUDGE, "samples": SAMPLES}
        found.append(laboratory.measured(f"digits/{seed}", judged, measure))
    each = {key: ", ".join(f"{one[key]:.3f}" for one in found) for key in found[0]}
    whole = {key: ", ".join(f"{one[key]:,.0f}" for one in found) for key in ("steps", "training", "side")}
    text = (
        f"{each['recognised']} (real digits {found[0]['real']:.3f}); rarest class {each['rarest']}; distance to "
        f"the nearest training digit {each['nearest']} (of real test digits {found[0]['real_nearest']:.3f}); "
        f"{whole['side']} pixels; {whole['steps']} steps, {whole['training']} CPU seconds"
    )
    what = (
        f"stylegan on digits, 4 to 8 to 16 pixels, seeds 0, 1, 2: share of {SAMPLES:,} samples recognised above {SURE}"
    )
    reached = all(
        one["recognised"] >= DIGITS_BAR and one["rarest"] >= RAREST and one["training"] <= 300 and one["side"] == 16
        for one in found
    )
    yield Row(what, text, f">= {DIGITS_BAR}, every class >= {RAREST:.0%}, 5 CPU minutes", reached)


def pairs(laboratory: Laboratory) -> Iterator[Row]:
    """A translator with a known right answer: digits, and others inverted and thickened."""
    found = []
    for seed in SEEDS:
        given = {**PAIR, "seed": seed}

        def measure(given: dict[str, Any] = given, seed: int = seed) -> Values:
            assert laboratory.directory is not None
            folder = _pair(laboratory.directory / "pair")
            run, seconds = laboratory.train("cyclegan", {**given, "data": str(folder)})
            options = {name: value for name, value in given.items() if name != "model_options"}
            new = lamina.prepare(
                "cyclegan",
                {**options, "data": str(folder), "model": given["model_options"]},
                directory=laboratory.directory,
                dry=True,
            )
            x, y, label_N = known_pairs()
            if seed == SEEDS[0]:
                _triptychs(run, "cyclegan-digits")
            return {
                **_errors(run.model, x, y),
                **{f"untrained_{name}": value for name, value in _errors(new.parts.model, x, y).items()},
                "identity": float((x - y)[SIDES_END[1] :].abs().mean()),
                **_swaps(run.model, x, y, label_N),
                "training": seconds,
            }

        found.append(laboratory.measured(f"pairs/{seed}", {**given, "sides": SIDES_END}, measure))
    one = {key: statistics.median(values[key] for values in found) for key in found[0]}
    each = {key: ", ".join(f"{values[key]:.3f}" for values in found) for key in found[0]}
    seconds = ", ".join(f"{values['training']:.0f}" for values in found)
    bars = [0.5 * min(one[f"untrained_{way}"], one["identity"]) for way in WAYS]
    text = (
        f"A to B {each['a_to_b']}, B to A {each['b_to_a']}; untrained {one['untrained_a_to_b']:.3f}, "
        f"{one['untrained_b_to_a']:.3f}, the identity {one['identity']:.3f}; class of the nearest of 1,500 pictures of "
        f"side B another one for {each['swapped']} of the translated (of real pairs {one['real_swapped']:.3f}); "
        f"{seconds} CPU seconds"
    )
    reached = all(one[way] <= bar for way, bar in zip(WAYS, bars, strict=True))
    reached = reached and all(values["training"] <= 600 for values in found)
    what = (
        "cyclegan, digits at 16 pixels to digits inverted and thickened, seeds 0, 1, 2: mean absolute difference of "
        "test digits to the true other side, 1 from black to white"
    )
    yield Row(what, text, "median <= 0.5x untrained and identity, 10 CPU minutes each", reached)


WAYS = ("a_to_b", "b_to_a")


def known_pairs() -> tuple[Tensor, Tensor, Tensor]:
    """Digits (N, 1, 16, 16) from 0 to 1, the same inverted and thickened, and what they are, (N,)."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x = torch.tensor(found.images / 16, dtype=torch.float32)[:, None]
    x = F.interpolate(x, size=16, mode="bilinear", align_corners=False).clamp(0, 1)
    return x, 1 - F.max_pool2d(x, 3, 1, 1), torch.tensor(found.target)


def _pair(folder: Path) -> Path:
    """trainA, trainB of different digits, testA, testB of the same ones."""
    x, y, _ = known_pairs()
    first, end = SIDES_END
    for name, shown in (("trainA", x[:first]), ("trainB", y[first:end]), ("testA", x[end:]), ("testB", y[end:])):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i, picture in enumerate(shown):
            Image.fromarray((picture[0] * 255).round().byte().numpy()).save(folder / name / f"{i:04}.png")
    return folder


@torch.no_grad()
def _translated(model: Any, x: Tensor, way: str) -> Tensor:
    model.eval()
    found: Tensor = (getattr(model.generators, way)(x * 2 - 1) + 1) / 2
    return found


def _errors(model: Any, x: Tensor, y: Tensor) -> Values:
    """Mean absolute difference to the other picture of the pair, of test digits."""
    x, y = x[SIDES_END[1] :], y[SIDES_END[1] :]
    ways = zip(WAYS, ((x, y), (y, x)), strict=True)
    return {way: float((_translated(model, source, way) - aim).abs().mean()) for way, (source, aim) in ways}


def _swaps(model: Any, x: Tensor, y: Tensor, label_N: Tensor) -> Values:
    """Share of test digits whose translation is nearest to a picture of side B of another class; the same of the true
    other picture, which the measure itself gets wrong."""
    end = SIDES_END[1]
    found = {}
    for name, made in (("swapped", _translated(model, x[end:], "a_to_b")), ("real_swapped", y[end:])):
        near = torch.cdist(made.flatten(1), y[:end].flatten(1)).argmin(1)
        found[name] = float((label_N[:end][near] != label_N[end:]).double().mean())
    return found


def flowers(laboratory: Laboratory) -> Iterator[Row]:
    """Photographs: closed, resumed, a folder translated in both directions."""

    def measure() -> Values:
        assert laboratory.directory is not None
        begin = time.process_time()
        name, folder = "daisy2sunflower", laboratory.directory
        given = {key: value for key, value in FLOWERS.items() if key != "model_options"}
        given |= {"data": where(FLOWERS), "model": FLOWERS["model_options"]}
        training = lamina.prepare("cyclegan-128", given, name=name, directory=folder)
        with closing(training.events()) as events:
            for event in events:
                if isinstance(event, StepDone) and training.engine.step == CLOSED_AT:
                    break
        training = lamina.prepare(None, {}, name=name, directory=folder, resume=True)
        steps = [event for event in training.events() if isinstance(event, StepDone)]
        closed = training.engine.step - len(steps)
        seconds = time.process_time() - begin
        run = training.run
        translated, kept = 0, 0
        photographs = _unpacked(where(FLOWERS), folder / "photographs")
        for side, to in (("A", "B"), ("B", "A")):
            source, made = photographs / f"test{side}", folder / f"to{to}"
            assert command(["predict", str(run.path), str(source), "--to", to, "--out", str(made)]) == 0
            for path in made.iterdir():
                (of,) = source.glob(f"{path.stem}.*")
                translated += 1
                kept += Image.open(path).size == Image.open(of).size
        _triptychs(run, "cyclegan-flowers")
        losses = [float(value) for event in steps for value in event.logs.values()]
        return {
            "closed": closed,
            "steps": training.engine.step,
            "finite": float(all(map(math.isfinite, losses))),
            "cycle_first": _cycle(steps[:20]),
            "cycle_last": _cycle(steps[-20:]),
            "translated": translated,
            "sizes_kept": kept,
            "training": seconds,
        }

    found = laboratory.measured("flowers", {**FLOWERS, "closed": CLOSED_AT}, measure)
    text = (
        f"{found['steps']:.0f} steps, closed and resumed after {found['closed']:.0f}, finite; cycle loss "
        f"{found['cycle_first']:.3f} to {found['cycle_last']:.3f} (steps 121-140, 181-200); {found['translated']:.0f} "
        f"pictures of both test folders translated, sizes kept of {found['sizes_kept']:.0f}; "
        f"{found['training']:.0f} CPU seconds"
    )
    reached = found["steps"] == 200 and bool(found["finite"]) and found["sizes_kept"] == found["translated"] == 200
    what = "cyclegan on unpaired_daisy2sunflower, 64 pixels, small widths, triptychs in docs/gallery"
    yield Row(what, text, "200 steps, closed, resumed, both directions", reached)


def _cycle(steps: Sequence[StepDone]) -> float:
    return statistics.fmean(float(event.logs["cycle"]) for event in steps)


def _unpacked(archive: str, folder: Path) -> Path:
    import tarfile

    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_dir())


def faces(laboratory: Laboratory) -> Iterator[Row]:
    """Few pictures: an adaptive probability of changes."""

    def measure() -> Values:
        run, seconds = laboratory.train("stylegan2-32", FACES, limit=FACES_LIMIT)
        _styles(run, "stylegan2-faces")
        made, train = run.generate(count=400, seed=0), pictures(run, "train")
        last = run.history[-1]
        return {
            "augment": last["train_augment"],
            "sign": last["train_sign"],
            "nearest": nearest(made, train),
            "apart": _apart(made),
            "real_apart": _apart(train),
            "steps": last["step"],
            "images": last["step"] * FACES["batch_size"],
            "training": seconds,
        }

    found = laboratory.measured("faces", {**FACES, "limit": FACES_LIMIT}, measure)
    text = (
        f"{found['steps']:,.0f} steps, {found['images']:,.0f} pictures; probability of a change "
        f"{found['augment']:.2f}; root mean square distance of samples to the nearest "
        f"training face {found['nearest']:.3f}, to the nearest other sample {found['apart']:.3f} "
        f"(of training faces to each other {found['real_apart']:.3f}); "
        f"{found['training']:.0f} CPU seconds"
    )
    what = (
        "stylegan2 with ADA on 400 faces (orl_faces), 32 pixels: samples and a matrix of mixed styles in docs/gallery"
    )
    yield Row(what, text, "looked at; 15 CPU minutes", None)


def _apart(pictures: list[Any]) -> float:
    """The mean over pictures of the root mean squared difference to the nearest other one."""
    x = torch.from_numpy(np.stack(pictures)).flatten(1).double() / 255
    distances = torch.cdist(x, x).fill_diagonal_(math.inf).min(1).values
    return float(distances.mean() / x.shape[1] ** 0.5)


def _styles(run: lamina.Run, name: str) -> None:
    """Samples, a matrix of mixed styles, truncation from 0 to 1, and a way in w."""
    GALLERY.mkdir(exist_ok=True)
    (GALLERY / f"{name}-samples.png").write_bytes(grid_png(run.generate(count=64, seed=1)))
    layers = run.model.generator.style_layers  # type: ignore[union-attr]
    mixed = run.generate(seed=2, style_mix=(4, 6), mix_layer=layers // 2)
    (GALLERY / f"{name}-mixing.png").write_bytes(grid_png(mixed, 7))
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    rows = [run.generate(count=5, seed=3, truncation=share) for share in shares]
    truncated = [row[i] for i in range(5) for row in rows]
    (GALLERY / f"{name}-truncation.png").write_bytes(grid_png(truncated, len(shares)))
    way = run.generate(seed=4, interpolate=(0, 1), count=10)
    (GALLERY / f"{name}-way.png").write_bytes(grid_png(way, 10))
    halved = [picture[::2, ::2] for picture in run.generate(over_training=True)[:40]]
    (GALLERY / f"{name}-training.gif").write_bytes(animation_gif(halved, back=False))


def _triptychs(run: lamina.Run, name: str) -> None:
    """Pictures of each side, translated, and back."""
    GALLERY.mkdir(exist_ok=True)
    pictures = triptychs(run.preprocess, run.model, some_of(run.task, run.preprocess, run.source))
    (GALLERY / f"{name}-cycles.png").write_bytes(grid_png(pictures, 6))


EXPERIMENTS: dict[str, Callable[[Laboratory], Iterator[Row]]] = {
    "digits": digits,
    "pairs": pairs,
    "flowers": flowers,
    "faces": faces,
}

if __name__ == "__main__":
    main("styles", __doc__ or "", EXPERIMENTS)
