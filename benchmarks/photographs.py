"""Does the whole way work on photographs? ResNet-18 on 1,300 of Imagenette's, 3 epochs, as a user would.

Trained with augmentation at 128 pixels, killed in the middle of the first epoch and resumed; then images of the
validation split are predicted by torch and, exported, by ONNX Runtime and OpenVINO: their classes must be the same.
Needs the archive in ``$LAMINA_DATA/imagenette_224_subset``.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import write_result

TRAIN = "--epochs 3 --model.image_size 128 --crop 146 --rand-augment 5 --optimizer adamw --lr 0.002 --weight-decay 0.02"
TRAIN += " --test 0 --checkpoint-every 7 --model.zero_gamma true"
LEAST = 0.25
"""validation accuracy to be reached, of 10 classes as good as equally frequent"""
SHOWN = 60
"""files predicted, about: every so-manieth of the validation split"""


def lamina(*words: str) -> str:
    """The output of a command."""
    return subprocess.run([_command(), *words], check=True, capture_output=True, text=True).stdout


def _command() -> str:
    return str(Path(sys.executable).with_name("lamina"))


def kill_in_the_middle(words: list[str], run: Path) -> int:
    """Start a training, kill it after its second checkpoint, in the first epoch; the step that it can go on from."""
    process = subprocess.Popen([_command(), *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    status = run / "checkpoints"
    while process.poll() is None and len(list(status.glob("step-*.ckpt"))) < 2:
        time.sleep(0.2)
    if process.poll() is not None:
        raise RuntimeError(f"the training ended by itself, with {process.returncode}")
    process.send_signal(signal.SIGKILL)
    process.wait()
    return max(int("".join(filter(str.isdigit, path.stem))) for path in status.glob("step-*.ckpt"))


def main() -> None:
    """Train, resume, predict, export, compare, write."""
    data = os.environ.get("LAMINA_DATA")
    if not data:
        sys.exit("photographs: set LAMINA_DATA to the folder that holds imagenette_224_subset/")
    (archive,) = Path(data, "imagenette_224_subset").glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "photographs"
        words = ["train", "resnet18", "--data", str(archive), "--runs", folder, "--name", run.name, *TRAIN.split()]
        step = kill_in_the_middle(words, run)
        trained: dict[str, Any] = json.loads(
            lamina("train", "--name", run.name, "--runs", folder, "--resume", "--json")
        )
        minutes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime / 60  # not those of who else is at work
        subprocess.run(["tar", "xzf", str(archive), "-C", folder], check=True)
        files = sorted(map(str, Path(folder).glob("*/val/*/*.JPEG")))
        files = files[:: max(1, len(files) // SHOWN)]
        found = {}
        for engine in ("torch", "onnxruntime", "openvino"):
            rows = json.loads(lamina("predict", str(run), *files, "--engine", engine, "--json"))
            found[engine] = [row["class"] for row in rows]
        truth = [Path(file).parent.name for file in files]
    same = {
        engine: sum(a == b for a, b in zip(classes, found["torch"], strict=True)) for engine, classes in found.items()
    }
    right = sum(a == b for a, b in zip(found["torch"], truth, strict=True))
    if set(same.values()) != {len(files)}:
        raise SystemExit(f"classes differ: {same} of {len(files)}")
    if trained["metrics"]["accuracy"] < LEAST:
        raise SystemExit(f"validation accuracy {trained['metrics']['accuracy']:.3f}, where {LEAST} is to be reached")
    rows = {
        "command": f"`lamina train resnet18 --data {archive.name} {TRAIN}`",
        "killed with SIGKILL, resumed from step": f"{step} of {trained['steps'] // trained['epochs']} in an epoch",
        "steps in all": trained["steps"],
        "validation accuracy after 3 epochs": f"{trained['metrics']['accuracy']:.3f} (at least {LEAST}; chance 0.1)",
        "minutes of one processor, training": f"{minutes:.1f}",
        "files predicted": f"{len(files)}, {right} rightly",
        "same class as torch: ONNX Runtime": f"{same['onnxruntime']} of {len(files)}",
        "same class as torch: OpenVINO": f"{same['openvino']} of {len(files)}",
    }
    table = "| what | |\n|---|---|\n" + "".join(f"| {what} | {value} |\n" for what, value in rows.items())
    write_result("photographs", (__doc__ or "") + "\n" + table)


if __name__ == "__main__":
    main()
