"""``lamina convert``: published weights with Lamina's names, as safetensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from lamina.cli.fields import fields_of, given
from lamina.cli.output import as_json, count, facts
from lamina.cli.parser import LATER, Parser, dashed
from lamina.cli.run_argument import model_named
from lamina.errors import DataError, UsageError
from lamina.registry import canonical

if TYPE_CHECKING:
    import torch

    from lamina.weights.reading import StateDict

TEXT = """Write published weights (torchvision, timm, official repositories; .safetensors, .pth) with Lamina's names.
lamina convert MODEL --help also shows the options of the model."""
EXAMPLES = """resnet50 resnet50-0676ba61.pth --out resnet50.safetensors
resnet50 ten.pth --model.num-classes 10 --out ten.safetensors
resnet50 half.pth --dtype float32 --out single.safetensors
resnet50 both.pth --entry model --out raw.safetensors"""
ADVICE = "set --model.num-classes to the number of classes in the file"
Dtype = Literal["float32", "float16", "bfloat16"]


def parser(name: str | None = None) -> Parser:
    """With a ``name``: also the options of the model."""
    parser = Parser("convert", "MODEL FILE --out FILE [options]", TEXT, EXAMPLES)
    parser.add_argument("variant", metavar="MODEL", help="the model of the weights; lamina models lists them")
    parser.add_argument("file", metavar="FILE", help="the weights, or a run's folder")
    parser.add_argument("--out", type=str, metavar="FILE", required=True, help="where to write: .safetensors")
    parser.add_argument(
        "--entry", type=str, metavar="NAME", help="the entry of a checkpoint with the weights (default: averaged ones)"
    )
    parser.add_argument(
        "--dtype",
        type=Dtype,
        metavar="NAME",
        help=f"type of the numbers; one of {', '.join(get_args(Dtype))} (default: the file's)",
    )
    if name is not None:
        from lamina.registry import variant

        config = variant(name).config
        defaults = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
        parser.add_fields(f"options of {name}", fields_of(type(config), under="model", defaults=defaults))
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    words = dashed(argv)
    reader = parser()
    reader.check_options(words, later=True)
    positionals, values = reader.scan(words)
    name = model_named(positionals[0]) if positionals else None
    if values.keys() & {"-h", "--help"} or any(option.startswith(LATER) for option in values):
        reader = parser(name)
    args = reader.read(words)
    out = Path(args.out)
    if out.suffix != ".safetensors":
        raise UsageError(f"--out {args.out}: the name must end in .safetensors")
    if not out.parent.is_dir():
        raise UsageError(f"--out {args.out}: there is no folder {out.parent}")

    import torch

    from lamina.registry import create_model
    from lamina.runs.weights import save_tensors
    from lamina.weights.folders import stated_options
    from lamina.weights.loading import fitted
    from lamina.weights.published import built_for
    from lamina.weights.reading import VOCABULARY, read_state_dict

    name = canonical(args.variant)
    options = given(reader.fields, args.as_dict().get("model") or {}, under="model")
    file, stated = built_for(name, args.file)
    state = read_state_dict(file, entry=args.entry)
    dtype = _dtype(state, args.dtype)
    with torch.device("meta"):
        model = create_model(name, **(stated | stated_options(name, file) | options)).to(dtype)
    tensors, loaded = fitted(model, _cast(state, dtype), advice=ADVICE)
    fresh = {name: torch.zeros_like(model.state_dict()[name], device="cpu") for name in loaded.kept}  # counters only
    save_tensors({**tensors, **fresh}, out, {} if state.vocabulary is None else {VOCABULARY: state.vocabulary})
    summary = {
        "model": name,
        "file": str(loaded.file),
        "part": loaded.part,
        "names": loaded.source,
        "tensors": loaded.count,
        "unused": list(loaded.unused),
        "notes": list(loaded.notes),
        "dtype": str(dtype).removeprefix("torch."),
        "out": str(out),
    }
    if args.json:
        as_json(summary)
    else:
        facts({**summary, "tensors": count(loaded.count)})
    return 0


def _dtype(state: StateDict, requested: str | None) -> torch.dtype:
    """The requested type, else the type of the file. Raises UsageError for a file with several."""
    import torch

    if requested is not None:
        dtype: torch.dtype = getattr(torch, requested)
        return dtype
    found = {tensor.dtype for tensor in state.tensors.values() if tensor.is_floating_point()}
    if len(found) > 1:
        names = " and ".join(sorted(str(dtype).removeprefix("torch.") for dtype in found))
        raise UsageError(f"{state.label} holds {names} numbers: choose one with --dtype")
    return found.pop() if found else torch.float32


def _cast(state: StateDict, dtype: torch.dtype) -> StateDict:
    """Floating-point tensors in another type. Raises DataError for a number that is too large for it."""
    tensors = {}
    for name, tensor in state.tensors.items():
        tensors[name] = tensor.to(dtype) if tensor.is_floating_point() else tensor
        if tensors[name].dtype != tensor.dtype and not tensors[name].isfinite().all() and tensor.isfinite().all():
            raise DataError(f"{state.label}: {name} holds numbers too large for {str(dtype).removeprefix('torch.')}")
    return dataclasses.replace(state, tensors=tensors)
