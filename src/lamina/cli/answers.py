"""Options of other tools: what is written here in their place."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.errors import UsageError

INSTEAD = {
    "--gpu": "--accelerator cuda trains on a GPU",
    "--gpus": "--accelerator cuda trains on a GPU, --devices N on several",
    "--cuda": "--accelerator cuda trains on a GPU",
    "--cpu": "--accelerator cpu trains on the CPU",
    "--learning-rate": "the rate is --lr",
    "--bs": "the batch size is --batch-size",
    "--batch": "the batch size is --batch-size",
    "--num-epochs": "the length is --epochs",
    "--num-workers": "processes that decode are --workers",
    "--amp": "mixed precision is --precision bf16 (or fp16)",
    "--fp16": "mixed precision is --precision fp16",
    "--bf16": "mixed precision is --precision bf16",
    "--checkpoint": "to start from weights: --weights FILE; to go on with a run: --name RUN --resume",
    "--output": "the run is called --name RUN, in the folder --runs",
    "--model": "the model is the first word: lamina train MODEL --data DATA",
    "--dataset": "data are named with --data",
}
DEVICES = {"gpu": "cuda", "cuda": "cuda", "cpu": "cpu", "mps": "mps", "auto": "auto"}


def expect_own_options(words: Sequence[str], known: Sequence[str], positionals: Sequence[str]) -> None:
    """Raise UsageError for an option of another tool, which names ours.

    expect_own_options(["--device", "gpu"], known=["--accelerator"], positionals=[])
    """
    end = words.index("--") if "--" in words else len(words)
    for place, word in enumerate(words[:end]):
        option, equals, value = word.partition("=")
        value = value if equals else "".join(words[place + 1 : place + 2])
        if option in known:
            if option == "--accelerator" and value.partition(":")[0] == "gpu":
                raise UsageError(f"--accelerator {value}: write --accelerator cuda")
            continue
        if option == "--device":
            name = DEVICES.get(value.partition(":")[0].casefold())
            raise UsageError(f"--device {value}: write --accelerator {name or 'auto, cpu, cuda or mps'}".rstrip())
        if option == "--pretrained":
            raise UsageError(f"--pretrained: {_pretrained(positionals)}")
        if option in INSTEAD:
            raise UsageError(f"{option}: {INSTEAD[option]}")


def _pretrained(positionals: Sequence[str]) -> str:
    from lamina import registry

    name = positionals[0] if positionals and registry.is_model(positionals[0]) else None
    entries = registry.card(name).published if name else ()
    if entries:
        return f"write --weights {entries[0].name}, which is {entries[0].repository} of the hub"
    listed = f"none are listed for {name}" if name else "lamina info MODEL lists those of a model"
    return f"published weights are --weights NAME, a file, or hf:<repository>@<revision>; {listed}"


def taken(words: Sequence[str], option: str, value: str) -> tuple[list[str], bool]:
    """The words without ``option value``, and whether they had it: ``taken(["--lr", "find"], "--lr", "find")``."""
    rest: list[str] = []
    found, skip = False, False
    for place, word in enumerate(words):
        if skip:
            skip = False
        elif word == f"{option}={value}":
            found = True
        elif word == option and list(words[place + 1 : place + 2]) == [value]:
            found = skip = True
        else:
            rest.append(word)
    return rest, found
