"""Small trainings of every kind, and a digest of everything that comes out of them: ``golden_cases CASE FILE``.

Public names only, so that the same case runs on any tree: ``benchmarks.golden`` runs it on two and compares. A case
runs in an empty folder, writes its own data there and names them without a path, so that no file holds a place.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

import lamina

Digests = dict[str, str]

LIMIT = 240
"""seconds that a training of several processes may take"""
SHORT = 70
"""values up to so many characters are compared and printed as they are"""
ALWAYS = ("recipe", "card", "environment")
"""sections of a report that repeat config.yaml, and where the data are"""
PLACES = ("data_path", "data_from_run")
"""keys of config.yaml that say where the data lay: every case has a folder of its own"""

# ---------------------------------------------------------------- digests


def as_text(value: object) -> str:
    """A value as it is, where it is short, else its hash. Numbers by repr: every bit counts."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= SHORT else hashlib.sha256(text.encode()).hexdigest()[:16]


def tensor_text(tensor: torch.Tensor) -> str:
    """Type, shape and a hash of the bytes."""
    content = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    kind = str(tensor.dtype).removeprefix("torch.")
    return f"{kind}{tuple(tensor.shape)} {hashlib.sha256(content).hexdigest()[:16]}"


def leaves(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every tensor and every plain value of nested dicts and lists, by its place."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, f"{place}/{key}")
    elif isinstance(value, list | tuple) and value:
        for key, item in enumerate(value):
            yield from leaves(item, f"{place}/{key}")
    else:
        yield place, tensor_text(value) if isinstance(value, torch.Tensor) else as_text(value)


def numbered(name: str, values: Any) -> Digests:
    return {f"{name} {number}": as_text(value) for number, value in enumerate(values, 1)}


def of_folder(run: lamina.Run) -> Digests:
    """The files of a run: weights, the newest checkpoint, metrics, samples, and what describes them."""
    path, found = run.path, {}
    for name, tensor in load_file(path / "model.safetensors").items():
        found[f"model.safetensors/{name}"] = tensor_text(tensor)
    newest = sorted((path / "checkpoints").glob("step-*.ckpt"))[-1]
    found |= leaves(torch.load(newest, weights_only=True), newest.name)
    for file in ("metrics.csv", "samples.jsonl"):
        if (path / file).exists():
            found |= numbered(f"{file}, line", (path / file).read_text(encoding="utf-8").splitlines())
    for file in ("card.json", "data.json", "preprocess.json", "tokenizer.json"):
        if (path / file).exists():
            content = json.loads((path / file).read_text(encoding="utf-8"))
            content.pop("card", None)  # the variant's own, words for the most part: tests assert its numbers
            found |= leaves(content, file)
    config = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
    found |= leaves({key: value for key, value in config.items() if key not in PLACES}, "config.yaml")
    return found


def of_run(run: lamina.Run) -> Digests:
    """The files of a run, its history, and its figures when opened again."""
    found = of_folder(run)
    again = lamina.open_run(run.path)
    found |= numbered("history, row", again.history)
    for split in again.splits():
        found |= {f"evaluate {split}, {name}": as_text(value) for name, value in again.evaluate(split).items()}
    return found


def of_report(run: lamina.Run) -> Digests:
    """The sections of the report that tell of results; how long the training took is taken out before."""
    status = run.path / "status.json"
    status.write_text(json.dumps(json.loads(status.read_text(encoding="utf-8")) | {"seconds": 0.0}), encoding="utf-8")
    page = run.report().read_text(encoding="utf-8")
    sections = dict(re.findall(r'<section id="(\w+)"(.*?)</section>', page, flags=re.DOTALL))
    return {f"report, {name}": as_text(text) for name, text in sections.items() if name not in ALWAYS}


def of_exported(run: lamina.Run, *items: Any) -> Digests:
    """What an ONNX export of the run says of the items."""
    path = run.export("onnx", run.path / "golden.onnx").path
    return numbered("exported, prediction", lamina.open_exported(path).predict(*items))


# ---------------------------------------------------------------- data


def write_photographs(folder: Path, each: int = 24) -> None:
    """Three classes of 40 x 36 colour images: a bright band in one of three places, under noise."""
    draw = np.random.default_rng(0)
    for place, name in enumerate(("high", "low", "middle")):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            image = draw.integers(0, 120, (36, 40, 3), dtype=np.uint8)
            image[12 * place : 12 * place + 10, :, number % 3] += 100
            Image.fromarray(image).save(folder / name / f"{number:02d}.png")


def write_table(path: Path, rows: int = 150) -> None:
    """Numbers, categories and empty cells; a number, a class and several labels that follow from them."""
    draw = random.Random(0)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["length", "weight", "colour", "origin", "price", "kind", "marks"])
        for _ in range(rows):
            length, weight = draw.uniform(1, 9), draw.gauss(50, 12)
            colour, origin = draw.choice(("red", "green", "blue", "")), draw.choice(("north", "south"))
            price = 3 * length + weight / 10 + (4 if colour == "red" else 0) + draw.gauss(0, 0.3)
            kind = "heavy" if weight > 58 else "long" if length > 6 else "plain"
            marks = "|".join(sorted({kind, "bright" if colour in ("red", "green") else "dim"}))
            cells = [f"{length:.3f}", "" if draw.random() < 0.1 else f"{weight:.2f}", colour, origin]
            writer.writerow([*cells, f"{price:.4f}", kind, marks])


ROWS = [
    {"length": 2.5, "weight": 61.0, "colour": "red", "origin": "north"},
    {"length": 7.0, "weight": None, "colour": None, "origin": "south"},
    {"length": 4.0, "weight": 40.0, "colour": "violet", "origin": "south"},
]


def write_book(path: Path, lines: int = 220) -> None:
    """Sentences of a few words."""
    draw = random.Random(0)
    nouns, places, seen = ("cat", "dog", "bird"), ("mat", "roof", "tree"), ("sun", "moon")
    lines = (
        f"The {draw.choice(nouns)} on the {draw.choice(places)} saw the {draw.choice(seen)}.\n" for _ in range(lines)
    )
    path.write_text("".join(lines), encoding="utf-8")


def write_reviews(path: Path, rows: int = 160) -> None:
    """Tab-separated texts of several lengths, each with a label."""
    draw = random.Random(1)
    good, bad = ("wonderful", "great", "moving", "funny"), ("boring", "awful", "dull", "weak")
    lines = ["text\tlabel"]
    for number in range(rows):
        words, label = (good, "positive") if number % 3 else (bad, "negative")
        phrase = " and ".join(draw.choice(words) for _ in range(draw.randint(1, 4)))
        lines.append(f"{draw.choice(('A', 'The', 'What a'))} {phrase} {draw.choice(('film', 'story'))}.\t{label}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def some_digits(count: int = 4) -> list[np.ndarray[Any, Any]]:
    """The first handwritten digits, (8, 8) uint8."""
    from sklearn.datasets import load_digits

    images: np.ndarray[Any, Any] = load_digits().images
    return list(np.rint(images[:count] * (255 / 16)).astype(np.uint8))


def trained(model: str, data: str, **options: Any) -> lamina.Run:
    as_given = {"precision": "fp32", "channels_last": False}  # not as a trial on this machine finds them
    return lamina.train(model, data=data, directory="runs", report=False, **{**as_given, **options})


# ---------------------------------------------------------------- the cases


def image() -> Digests:
    """LeNet-5 on digits, moved about, labels smoothed; predicted, embedded, exported."""
    run = trained("lenet5", "digits", limit=500, epochs=2, label_smoothing=0.1)
    images = some_digits()
    found = of_run(run) | numbered("prediction", run.predict(*images)) | of_exported(run, *images)
    found |= {"embed": tensor_text(run.embed()), "embed of images": tensor_text(run.embed(*images))}
    return found | of_report(run)


def streamed() -> Digests:
    """A folder of PNG files decoded while training: a crop, mirrored, moved, RandAugment, mixup and CutMix; SGD."""
    write_photographs(Path("photographs"))
    run = trained(
        "lenet5", "photographs", epochs=2, batch_size=8, memory="stream", crop=36, flip=True, shift=2, rand_augment=7.0,
        rand_augment_std=0.5, mixup=0.2, cutmix=1.0, optimizer="sgd", lr=0.05, nesterov=True,
    )  # fmt: skip
    files = sorted(Path("photographs").rglob("00.png"))
    return of_run(run) | numbered("prediction", run.predict(*files)) | {"embed": tensor_text(run.embed())}


def streamed_by_workers() -> Digests:
    """The same files decoded by two workers: parts of them, TrivialAugment, colours, erasing; batch norm; ten crops."""
    write_photographs(Path("photographs"))
    run = trained(
        "resnet20", "photographs", epochs=1, batch_size=8, memory="stream", workers=2, resized_crop=(0.4, 1.0),
        flip=True, trivial_augment=True, colour_pca=0.1, erasing=0.3, resize="pad", schedule="step", warmup=0.0,
    )  # fmt: skip
    files = sorted(Path("photographs").rglob("01.png"))
    ten = {f"ten crops, {name}": as_text(value) for name, value in run.evaluate(crops=10).items()}
    return of_run(run) | ten | numbered("prediction", run.predict(*files))


def held_photographs() -> Digests:
    """The same files held in memory, in bf16, gradients accumulated, stages calculated again; plateau schedule."""
    write_photographs(Path("photographs"))
    run = trained(
        "resnet20", "photographs", epochs=2, batch_size=8, accumulate=2, memory="hold", precision="bf16", flip=True,
        schedule="plateau", plateau_patience=0, warmup=0.0, checkpointing=True,
    )  # fmt: skip
    return of_run(run) | {"embed": tensor_text(run.embed())}


def fine_tuned() -> Digests:
    """From the weights of another run, its output layer left out; rates by layer, then the body frozen."""
    begin = trained("lenet5", "digits", limit=300, epochs=1, name="begin")
    write_photographs(Path("photographs"), each=12)
    found = {}
    for name, more in (("layers", {"layer_decay": 0.7}), ("frozen", {"freeze": ("body",)})):
        run = trained(
            "lenet5", "digits", limit=200, split_seed=1, epochs=1, name=name, weights=begin.path, reset_head=True,
            **more,
        )  # fmt: skip
        found |= {f"{name}: {key}": value for key, value in of_run(run).items()}
    return found


def regression() -> Digests:
    """Numbers, categories and missing cells to a number: batch norm, dropout, average of the weights, accumulation."""
    write_table(Path("table.csv"))
    run = trained(
        "mlp", "table.csv", target="price", drop=("kind", "marks"), epochs=4, batch_size=8, accumulate=2, ema=0.9,
        clip=1.0, schedule="cosine", warmup=0.1,
        model_options={"hidden": (16, 8), "norm": "batch", "dropout": 0.2},
    )  # fmt: skip
    found = of_run(run) | numbered("prediction", run.predict(*ROWS)) | of_exported(run, *ROWS)
    return found | {"embed": tensor_text(run.embed(*ROWS))} | of_report(run)


def classification() -> Digests:
    """The same table to a class, classes weighted, patience; predicted as rows and as a file."""
    write_table(Path("table.csv"))
    run = trained(
        "mlp", "table.csv", target="kind", drop=("price", "marks"), epochs=6, batch_size=16, class_weights=True,
        patience=2, optimizer="rmsprop", model_options={"hidden": (16,), "dropout": 0.1},
    )  # fmt: skip
    found = of_run(run) | numbered("prediction", run.predict(*ROWS)) | of_exported(run, *ROWS)
    return found | {"predictions of the file": as_text(run.predict("table.csv"))}


def multilabel() -> Digests:
    """The same table to several labels."""
    write_table(Path("table.csv"))
    run = trained(
        "mlp", "table.csv", target="marks", drop=("price", "kind"), epochs=3, batch_size=16, label_smoothing=0.05,
        optimizer="adam", model_options={"hidden": (16,), "norm": "layer"},
    )  # fmt: skip
    return of_run(run) | numbered("prediction", run.predict(*ROWS))


def historical() -> Digests:
    """The mistake rule of the perceptron, one logistic unit, and the LeNet-5 of 1998."""
    found = {}
    for model, data, more in (
        ("perceptron", "breast-cancer", {"epochs": 3}),
        ("sigmoid-neuron", "breast-cancer", {"epochs": 3}),
        ("lenet5-1998", "digits", {"epochs": 1, "limit": 300}),
    ):
        found |= {f"{model}: {key}": value for key, value in of_run(trained(model, data, **more)).items()}
    return found


def recurrent_text() -> Digests:
    """Running text by character, its state carried; dropout; continued greedily, and drawn."""
    write_book(Path("book.txt"))
    run = trained(
        "lstm-lm-small", "book.txt", epochs=2, batch_size=8, window=25, optimizer="adam", lr=0.01, weight_decay=0.0,
        clip=5.0, warmup=0.0, ema=0.9, model_options={"embedding_dim": 16, "hidden_size": 24, "dropout": 0.2},
    )  # fmt: skip
    return of_run(run) | written(run) | of_report(run)


def written(run: lamina.Run) -> Digests:
    prompts = ("The cat ", "The b")
    return {
        "greedy": as_text(run.generate(*prompts, max_new_tokens=60, greedy=True)),
        "drawn": as_text(run.generate(*prompts, max_new_tokens=60, temperature=0.7, seed=3)),
        "drawn among few": as_text(
            run.generate(*prompts, max_new_tokens=40, top_k=5, top_p=0.9, repetition_penalty=1.2)
        ),
        "streamed": as_text("".join(run.stream(prompts[0], max_new_tokens=60, stop=(".",)))),
    }


def transformer_text() -> Digests:
    """Running text in byte pairs, in mixed precision (bf16), labels smoothed."""
    run = trained(
        "transformer-lm", "python-docs", limit=12_000, validation=0.01, test=0.01, tokenizer="bpe", vocabulary=300,
        epochs=2, batch_size=8, precision="bf16", label_smoothing=0.1,
        model_options={"context": 32, "layers": 2, "width": 32, "heads": 2, "dropout": 0.1},
    )  # fmt: skip
    return of_run(run) | written(run)


def labelled_texts() -> Digests:
    """Texts of several lengths to a class: both directions, dropout; predicted, embedded, exported."""
    write_reviews(Path("reviews.tsv"))
    run = trained(
        "lstm-classifier", "reviews.tsv", epochs=2, batch_size=16, lr=0.01, class_weights=True,
        model_options={"embedding_dim": 12, "hidden_size": 12, "bidirectional": True, "dropout": 0.2},
    )  # fmt: skip
    texts = ["A wonderful story.", "The awful film, and dull and weak.", "What a day"]
    found = of_run(run) | numbered("prediction", run.predict(texts)) | of_exported(run, texts) | of_report(run)
    return found | {"embed": tensor_text(run.embed(texts)), "embed of the test split": tensor_text(run.embed())}


DATES = ("tisdag 3 mars 2015", "4. Juli 1999", "12 décembre 2040")


def pairs() -> Digests:
    """A small Transformer on written dates: dropout, smoothed labels; translated greedily and by a beam."""
    run = trained(
        "transformer-small", "dates", limit=500, validation=0.005, test=0.005, epochs=1, batch_size=16, accumulate=2,
        model_options={"layers": 1, "width": 32, "heads": 2, "hidden": 48, "dropout": 0.1},
    )  # fmt: skip
    found = of_run(run) | numbered("translation", run.predict(*DATES)) | of_report(run)
    return found | numbered("translation, beam", run.predict(*DATES, beam=3, length_penalty=0.8))


def attention_pairs() -> Digests:
    """A recurrent network with attention on the names of territories."""
    run = trained(
        "seq2seq-attention", "territories", epochs=2, batch_size=16, lr=0.005,
        model_options={"embedding_dim": 16, "hidden_size": 16, "attention_size": 16, "maxout": 12, "dropout": 0.1},
    )  # fmt: skip
    return of_run(run) | numbered("translation", run.predict("Spanien", "Norwegen", beam=2))


def resumed() -> Digests:
    """Three trainings that go on in the middle of an epoch: longer than at first, and from what a kill leaves."""
    options = {"hidden": (24,), "norm": "batch", "dropout": 0.3}
    common = {"batch_size": 16, "limit": 200, "schedule": "constant", "warmup": 0.0, "ema": 0.9, "accumulate": 2}
    trained("mlp", "digits", steps=5, name="digits", model_options=options, **common)
    run = trained("mlp", "digits", steps=11, name="digits", resume=True)
    found = {f"digits: {key}": value for key, value in of_run(run).items()}
    write_book(Path("book.txt"))
    recipe: dict[str, Any] = {"epochs": 2, "batch_size": 8, "window": 25, "checkpoint_every": 4, "accumulate": 2}
    texts = {"embedding_dim": 12, "hidden_size": 16, "dropout": 0.2}
    for model, options in (("lstm-lm-small", texts), ("mlp", {"hidden": (16,), "dropout": 0.3})):
        if model == "mlp":
            recipe = {"epochs": 2, "batch_size": 16, "checkpoint_every": 4, "limit": 700, "flip": True}
        data = "book.txt" if model != "mlp" else "digits"
        whole = trained(model, data, name=model, model_options=options, **recipe)
        newest = sorted((whole.path / "checkpoints").glob("step-*.ckpt"))[-1]
        newest.unlink()  # the one before it is of the middle of the epoch
        run = trained(model, data, name=model, resume=True)
        found |= {f"{model}: {key}": value for key, value in of_run(run).items()}
    return found


def two_processes() -> Digests:
    """Two processes on the CPU, through the command line: text whose state each carries, dropout, average; a report."""
    write_book(Path("book.txt"))
    words = "--epochs 2 --batch-size 8 --devices 2 --accelerator cpu --ema 0.9 --name text"
    model = "--model.hidden-size 8 --model.embedding-dim 8 --model.dropout 0.2"
    command_line("train", "lstm-lm-small", "--data", "book.txt", *words.split(), *model.split())
    return of_run(lamina.open_run(Path("runs", "text")))


def command_line(*words: str) -> str:
    """What ``python -m lamina ...`` prints, in a session of its own, of which nothing is left when the time is up."""
    child = subprocess.Popen(
        [sys.executable, "-m", "lamina", *words], start_new_session=True, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        output, wrong = child.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        raise RuntimeError(f"lamina {words[0]} did not end within {LIMIT} seconds") from None
    if child.returncode:
        raise RuntimeError(f"lamina {' '.join(words)}: {wrong[-2000:]}")
    return output


CASES: dict[str, Callable[[], Digests]] = {
    case.__name__.replace("_", "-"): case
    for case in (
        image,
        streamed,
        streamed_by_workers,
        held_photographs,
        fine_tuned,
        regression,
        classification,
        multilabel,
        historical,
        recurrent_text,
        transformer_text,
        labelled_texts,
        pairs,
        attention_pairs,
        resumed,
        two_processes,
    )
}


def main() -> None:
    """Run one case and write its digests, and where lamina came from, to a file."""
    case, file = sys.argv[1], Path(sys.argv[2]).resolve()
    torch.set_num_threads(1)
    home = Path(lamina.__file__).resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        found = CASES[case]()
        os.chdir("/")
    file.write_text(json.dumps({"lamina": str(home), "found": found}), encoding="utf-8")


if __name__ == "__main__":
    main()
