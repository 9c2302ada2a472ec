"""Is a model judged by what it learnt, however few its steps? Every image family on photographs of Imagenette.

1. mobilenet-v3-small (batch-norm momentum 0.01) on 140 photographs, 64 pixels, its own recipe for 30 epochs: above 0.2
   on the validation split of 400, or the run says that it learnt nothing.
2. One small variant a family, 32 pixels, batches of 16, at 2, 10 and 60 steps an epoch: the accuracy on the training
   data of the weights that are saved lies at most 0.3 below the accuracy that training logged in its last epoch. "as
   trained" judges the same weights with the running statistics that training itself had reached.

Needs the archive in ``$LAMINA_DATA/imagenette_224_subset``. Each line is kept in ``results/settled.json`` once it is
there, so that an interrupted sweep goes on; ``--fresh`` begins anew.
"""

from __future__ import annotations

import json
import os
import sys
import tarfile
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import lamina
from benchmarks.measure import RESULTS, write_result
from lamina.training.checkpoints import load_checkpoint

torch.set_num_threads(1)
FOUND = RESULTS / "settled.json"
FEW = "few photographs"
ABOVE, BELOW = 0.2, 0.3
BATCH = 16
EPOCHS = {2: 10, 10: 5, 60: 2}
"""by steps an epoch"""
SMALL = {"image_size": 32, "stem": "small"}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "perceptron": ("perceptron", {}),
    "sigmoid-neuron": ("sigmoid-neuron", {}),
    "mlp": ("mlp", {"norm": "batch"}),
    "lenet5": ("lenet5", {}),
    "lenet5-1998": ("lenet5-1998", {}),
    "alexnet": ("alexnet", {**SMALL, "widths": (48, 96, 128, 96, 96), "hidden": 384, "pooled": 3}),
    "vgg": ("vgg11-bn", {**SMALL, "widths": (16, 32, 64, 128, 128), "hidden": 128, "pooled": 1}),
    "resnet": ("resnet18", {**SMALL, "widths": (12, 24, 48, 96)}),
    "resnet-cifar": ("resnet20", {}),
    "squeezenet": ("squeezenet-1.1", {**SMALL, "stem_width": 32, "depths": (2, 2, 1), "base_e": 64, "incr_e": 32}),
    "densenet": ("densenet-bc100-k12", {"blocks": (3, 3, 3)}),
    "mobilenet-v1": ("mobilenet-v1-050", SMALL),
    "mobilenet-v2": ("mobilenet-v2", {**SMALL, "alpha": 0.35, "depths": (1, 1, 1, 2, 1, 1, 1), "head_width": 320}),
    "mobilenet-v3": ("mobilenet-v3-small", {**SMALL, "alpha": 0.5}),
    "efficientnet": ("efficientnet-b0", {**SMALL, "width": 0.35, "depth": 0.35, "head_width": 320, "momentum": 0.01}),
    "coatnet": ("coatnet-0", {**SMALL, "stem_width": 16, "widths": (32, 64, 96, 128), "depths": (1, 1, 2, 1)}),
    "swin": ("swin-tiny", {**SMALL, "width": 32, "depths": (2, 2, 2), "heads": (2, 4, 8), "window": 4}),
    "convnext": ("convnext-tiny", {**SMALL, "depths": (2, 2, 2), "widths": (40, 80, 160), "layer_scale": 0.1}),
}
"""of each family a variant and its options; those not named in the others have 32 pixels already"""


def main() -> None:
    data = os.environ.get("LAMINA_DATA")
    if not data:
        sys.exit("settled: set LAMINA_DATA to the folder that holds imagenette_224_subset/")
    (archive,) = Path(data, "imagenette_224_subset").glob("*.tar.gz")
    if "--fresh" in sys.argv:
        FOUND.unlink(missing_ok=True)
    found: dict[str, Any] = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with tarfile.open(archive) as files:
            files.extractall(home, filter="data")
        (photographs,) = (path for path in home.iterdir() if path.is_dir())
        for name in (FEW, *FAMILIES):
            if name not in found:
                found[name] = few(photographs, home) if name == FEW else sweep(name, photographs, home)
                FOUND.write_text(json.dumps(found, indent=1) + "\n")
                print(name, found[name], flush=True)
    write_result("settled", body(found))
    if failures(found):
        sys.exit(f"settled: not so for {', '.join(failures(found))}")


def few(photographs: Path, home: Path) -> dict[str, Any]:
    """mobilenet-v3-small, 14 photographs of each of the ten classes."""
    folder = home / "few"
    for split, count in (("train", 14), ("val", None)):
        for source in sorted((photographs / split).iterdir()):
            target = folder / split / source.name
            target.mkdir(parents=True)
            for file in sorted(source.iterdir())[:count]:
                (target / file.name).symlink_to(file)
    options = {"epochs": 30, "test": 0.0, "directory": home, "model_options": {"image_size": 64}}
    run = lamina.train("mobilenet-v3-small", data=str(folder), **options)
    metrics = run.evaluate("validation")
    last = run.history[-1]
    return {
        "steps": int(last["step"]),
        "train": round(last["train_accuracy"], 4),
        "validation": round(metrics["accuracy"], 4),
        "shortfalls": run.shortfalls("validation", metrics),
    }


def sweep(family: str, photographs: Path, home: Path) -> dict[str, Any]:
    """By steps an epoch: accuracies of the last epoch as logged, of the saved weights, of those as trained."""
    variant, options = FAMILIES[family]
    lines = {}
    for steps, epochs in EPOCHS.items():
        classes = lamina.card(variant).classes or 10
        run = lamina.train(
            variant, data=str(small_images(photographs, home, BATCH * steps, classes)), name=f"{family}-{steps}",
            directory=home, epochs=epochs, batch_size=BATCH, validation=0.0, test=0.0, report=False,
            model_options=dict(options),
        )  # fmt: skip
        judged = run.evaluate("train")["accuracy"]
        path = run.directory.checkpoints.latest()
        assert path is not None
        own = load_checkpoint(path)["engine"]["models"]["model"]
        run.model.load_state_dict({**run.model.state_dict(), **{k: v for k, v in own.items() if "running" in k}})
        accuracies = (run.history[-1]["train_accuracy"], judged, run.evaluate("train")["accuracy"])
        lines[str(steps)] = [round(value, 4) for value in accuracies]
    return lines


def small_images(photographs: Path, home: Path, count: int, classes: int) -> Path:
    """A folder of ``count`` training images of 32 pixels, the classes in turn."""
    folder = home / f"small-{count}-{classes}"
    if not folder.exists():
        every = [sorted(source.iterdir()) for source in sorted((photographs / "train").iterdir())[:classes]]
        for index in range(count):
            file = every[index % classes][index // classes % len(every[index % classes])]
            target = folder / file.parent.name
            target.mkdir(parents=True, exist_ok=True)
            Image.open(file).convert("RGB").resize((32, 32)).save(target / f"{index}.png")
    return folder


def failures(found: dict[str, Any]) -> list[str]:
    short = [name for name in FAMILIES if any(line[0] - line[1] > BELOW for line in found[name].values())]
    return short + ([] if found[FEW]["validation"] > ABOVE or found[FEW]["shortfalls"] else [FEW])


def body(found: dict[str, Any]) -> str:
    first = found[FEW]
    noted = "; ".join(first["shortfalls"]) or "nothing"
    text = f"{__doc__ or ''}\n## 140 photographs\n\n{first['steps']} steps: training accuracy {first['train']:.3f}, "
    text += f"validation {first['validation']:.3f}; noted: {noted}\n\n## Families\n\n"
    text += "| family | steps an epoch, epochs | training, as logged | saved weights | as trained |\n"
    text += "|---|---|---|---|---|\n"
    for name in FAMILIES:
        for steps, (logged, judged, own) in found[name].items():
            text += f"| {name} | {steps}, {EPOCHS[int(steps)]} | {logged:.3f} | {judged:.3f} | {own:.3f} |\n"
    return text


if __name__ == "__main__":
    main()
