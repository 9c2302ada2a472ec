"""Weights as people bring them: state dicts, prefixes of wrappers, entries of checkpoints, shards, padded rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import lamina
from lamina.errors import DataError, UsageError
from lamina.weights.loading import load_weights
from lamina.weights.prefixes import readings
from lamina.weights.reading import read_state_dict

TINY: dict[str, Any] = {"vocab_size": 31, "context": 12, "layers": 2, "width": 16, "heads": 2}


def net(seed: int = 0, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    return lamina.create_model("resnet20", **{"num_classes": 4, **options})


def gpt2(seed: int = 0, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    return lamina.create_model("gpt2", **{**TINY, **options})


def named(seed: int = 1) -> dict[str, Tensor]:
    """The tensors of a network in the names of torchvision."""
    from lamina.weights.resnet_cifar import LAYOUTS

    model = net(seed, shortcut="B")
    translation = LAYOUTS[1].translation(model)
    return {translation.theirs(name) or "": tensor.clone() for name, tensor in model.state_dict().items()}


def expect_equal(model: nn.Module, other: nn.Module) -> None:
    wanted = other.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, wanted[name]), name


# state dicts


def test_a_state_dict_is_loaded_as_a_file_is() -> None:
    for given in (
        net(1).state_dict(),
        dict(net(1).state_dict()),
        dict(net(1).named_parameters()) | dict(net(1).named_buffers()),
    ):
        loaded = load_weights(model := net(), given)
        expect_equal(model, net(1))
        assert (loaded.file, loaded.part, loaded.files) == (None, None, ())
        assert "tensors of the given state dict, named as lamina names them" in str(loaded)


def test_a_checkpoint_in_memory_has_entries_too() -> None:
    loaded = load_weights(model := net(), {"epoch": 3, "model": net(1).state_dict()})
    expect_equal(model, net(1))
    assert loaded.part == "model"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (net(), "weights are a file, a folder or a state dict, not a model: give its state_dict()"),
        ([1, 2], "weights are a file, a folder or a state dict, not a list"),
        ({"a": 3}, "the given state dict holds no named weights, but a"),
        ({}, "the given state dict holds no named weights, but nothing"),
    ],
)
def test_what_is_no_state_dict_is_refused(given: Any, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_weights(net(), given)
    assert str(caught.value) == says


def test_a_tensor_without_dense_numbers_is_refused() -> None:
    for empty in (torch.empty(4, device="meta"), torch.zeros(4).to_sparse()):
        with pytest.raises(DataError, match=r"head\.bias holds no dense numbers"):
            load_weights(net(), net(1).state_dict() | {"head.bias": empty})


# prefixes


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "net.", "backbone.", "module._orig_mod.model.", "a.b.c.", "student."]
)
def test_prefixes_are_taken_off_where_that_fits_better(prefix: str) -> None:
    for tensors in (net(1, shortcut="B").state_dict(), named()):
        loaded = load_weights(model := net(shortcut="B"), {prefix + name: tensor for name, tensor in tensors.items()})
        expect_equal(model, net(1, shortcut="B"))
        assert loaded.notes == (f"without the prefix '{prefix}'",)
        assert loaded.unused == ()


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_wrappers_of_a_part_of_a_model_are_taken_out_of_the_middle() -> None:
    compiled: Any = net()
    compiled.stages = torch.compile(compiled.stages)
    compiled.load_state_dict({n.replace("stages.", "stages._orig_mod."): t for n, t in net(1).state_dict().items()})
    assert any("stages._orig_mod.0" in name for name in compiled.state_dict())
    load_weights(model := net(), compiled.state_dict())
    expect_equal(model, net(1))
    averaged = AveragedModel(net(1))
    load_weights(model := net(), averaged.state_dict())
    expect_equal(model, net(1))


def test_a_prefix_of_the_models_own_names_stays() -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Linear(2, 3)

    torch.manual_seed(1)
    other = Wrapped()
    for before in ("", "module.", "model."):
        load_weights(model := Wrapped(), {before + name: tensor for name, tensor in other.state_dict().items()})
        expect_equal(model, other)


def test_what_most_names_do_not_have_is_listed() -> None:
    file = {f"model.{name}": tensor for name, tensor in named().items()} | {"loss.weight": torch.ones(4)}
    with pytest.raises(UsageError, match=r"after 'model\.'\) does not fit this ResNetCifar: unexpected loss\.weight;"):
        load_weights(net(shortcut="B"), file)
    clash = ["module.weight", "module.bias", "module.x", "weight"]
    assert [reading.prefix for reading in readings(clash)] == [""]


# entries

ENTRIES: list[tuple[str, dict[str, Any], str]] = [
    ("lightning", {"epoch": 1, "state_dict": 1, "optimizer_states": [], "callbacks": {"a": {"best": 0}}}, "state_dict"),
    ("tutorial", {"epoch": 1, "model_state_dict": 1, "optimizer_state_dict": {"x": 2}}, "model_state_dict"),
    ("basicsr", {"params": 2, "params_ema": 1}, "params_ema"),
    ("timm", {"arch": "resnet20", "state_dict": 2, "state_dict_ema": 1}, "state_dict_ema"),
    ("nested", {"model": {"state_dict": 1, "config": {"lr": 0.1}}}, "model.state_dict"),
    ("nested averages", {"net": {"raw": 2, "ema": 1}, "state_dict": 2}, "net.ema"),
    ("weights", {"weights": 1, "loss": torch.tensor(0.5)}, "weights"),
    ("a name of its own", {"generator": 1, "step": 7, "optimizer": {"adam": 2}}, "generator"),
]  # fmt: skip


def filled(content: Any) -> Any:
    """With state dicts in the place of numbers 1 (wanted) and 2 (others) where names say that there are weights."""
    if isinstance(content, dict):
        return {
            key: value if key in ("epoch", "step", "best", "lr") else filled(value) for key, value in content.items()
        }
    if type(content) is int:
        return dict(net(content).state_dict())
    return content


@pytest.mark.parametrize(("content", "part"), [row[1:] for row in ENTRIES], ids=[row[0] for row in ENTRIES])
def test_the_weights_are_found_in_checkpoints(content: dict[str, Any], part: str, tmp_path: Path) -> None:
    torch.save(filled(content), tmp_path / "x.ckpt")
    loaded = load_weights(model := net(), tmp_path / "x.ckpt")
    expect_equal(model, net(1))
    assert loaded.part == part


def test_an_entry_is_chosen(tmp_path: Path) -> None:
    content = filled({"model": 1, "model_ema": 2, "old": {"model": 3}, "optimizer": {"model": 4}})
    torch.save(content, path := tmp_path / "x.pth")
    for entry, seed in ((None, 2), ("model", 1), ("model_ema", 2), ("old.model", 3), ("old", 3)):
        for weights in (path, content):
            load_weights(model := net(), weights, entry=entry)
            expect_equal(model, net(seed))
    with pytest.raises(
        UsageError, match=r"x\.pth has no entry 'ema' with weights: it has model, model_ema, old\.model$"
    ):
        load_weights(net(), path, entry="ema")
    with pytest.raises(UsageError, match=r"has no entry 'ema' with weights: its weights are in no entry$"):
        load_weights(net(), net().state_dict(), entry="ema")


def test_several_weights_of_unknown_names_must_be_chosen_from() -> None:
    given = filled({"generator": 1, "discriminator": 2, "step": 9})
    with pytest.raises(
        UsageError, match=r"several weights: choose one with entry=NAME \(--entry NAME\): discri.*generator$"
    ):
        load_weights(net(), given)
    load_weights(model := net(), given, entry="discriminator")
    expect_equal(model, net(2))


# shards


def sharded(folder: Path, suffix: str = ".safetensors", stem: str = "model", count: int = 3) -> Path:
    tensors = named()
    places = {name: f"{stem}-{i % count + 1:05}-of-{count:05}{suffix}" for i, name in enumerate(tensors)}
    for file in set(places.values()):
        held = {name: tensors[name] for name, place in places.items() if place == file}
        save_file(held, folder / file) if suffix == ".safetensors" else torch.save(held, folder / file)
    index = folder / f"{stem}{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return index


@pytest.mark.parametrize(("suffix", "stem"), [(".safetensors", "model"), (".bin", "pytorch_model")])
def test_shards_are_read_by_their_index_or_folder(suffix: str, stem: str, tmp_path: Path) -> None:
    index = sharded(tmp_path, suffix, stem)
    for where in (index, tmp_path):
        loaded = load_weights(model := net(shortcut="B"), where)
        expect_equal(model, net(1, shortcut="B"))
        assert (loaded.file, len(loaded.files)) == (index, 4)
    with pytest.raises(UsageError, match=r"is one of 3 shards: give their index, .*index\.json$"):
        load_weights(net(shortcut="B"), tmp_path / f"{stem}-00002-of-00003{suffix}")
    with pytest.raises(UsageError, match=r"has no entry 'ema'"):
        load_weights(net(shortcut="B"), index, entry="ema")
    index.unlink()
    with pytest.raises(UsageError, match=r"index\.json, which belongs beside it$"):
        load_weights(net(shortcut="B"), tmp_path / f"{stem}-00001-of-00003{suffix}")


def test_one_shard_of_one_is_whole(tmp_path: Path) -> None:
    sharded(tmp_path, count=1)
    load_weights(model := net(shortcut="B"), tmp_path / "model-00001-of-00001.safetensors")
    expect_equal(model, net(1, shortcut="B"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is damaged, or not an index of weights"),
        ("[]", "is damaged, or not an index of weights"),
        ('{"weight_map": {"a": 3}}', "is damaged, or not an index of weights"),
        ('{"weight_map": {}}', "lists no weights"),
        ('{"weight_map": {"a": "../x.safetensors"}}', "names '../x.safetensors', which is not a file beside it"),
        ('{"weight_map": {"a": "/x.safetensors"}}', "names '/x.safetensors', which is not a file beside it"),
        ('{"weight_map": {"a": "b.safetensors"}}', "names shards that are not beside it: b.safetensors"),
        ('{"weight_map": {"a": "x.safetensors"}}', "not the shard that model.safetensors.index.json lists: it lacks a"),
        ('{"weight_map": {"x": "x.safetensors"}}', "lists: it also holds y"),
    ],
)  # fmt: skip
def test_a_faulty_index_is_one_line(text: str, says: str, tmp_path: Path) -> None:
    save_file({"x": torch.ones(1), "y": torch.ones(1)}, tmp_path / "x.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(DataError) as caught:
        read_state_dict(tmp_path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


# language models


def theirs_of(model: nn.Module, number: int) -> dict[str, Tensor]:
    from lamina.weights.gpt2 import LAYOUTS

    translation = LAYOUTS[number].translation(model)
    found = {translation.theirs(name) or "": tensor for name, tensor in model.state_dict().items()}
    return {name: tensor.clone() for name, tensor in translation.transpose(found).items()}


def nanogpt(model: nn.Module, rows: int | None = None) -> dict[str, Any]:
    """A checkpoint of nanoGPT's train.py."""
    tensors = theirs_of(model, 2)
    tensors["transformer.h.0.attn.bias"] = torch.ones(12, 12).tril()[None, None]
    wte = tensors["transformer.wte.weight"]
    if rows is not None:
        wte = torch.cat([wte, torch.randn(rows - len(wte), wte.shape[1])])
    tensors |= {"transformer.wte.weight": wte, "lm_head.weight": wte}
    return {
        "model": {f"_orig_mod.{name}": tensor for name, tensor in tensors.items()},
        "optimizer": {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(3)}}, "param_groups": []},
        "model_args": {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 12, "bias": True, "vocab_size": 31},
        "iter_num": 10,
        "best_val_loss": torch.tensor(2.5),
        "config": {"dataset": "x"},
    }


def test_nanogpts_checkpoints_are_loaded(tmp_path: Path) -> None:
    torch.save(nanogpt(gpt2(1), rows=64), tmp_path / "ckpt.pt")
    loaded = load_weights(model := gpt2(), tmp_path / "ckpt.pt")
    expect_equal(model, gpt2(1))
    assert (loaded.source, loaded.part) == ("karpathy/nanoGPT", "model")
    assert "64 rows of transformer.wte.weight cut to the 31 of the vocabulary" in str(loaded)
    assert "without the prefix '_orig_mod.'" in str(loaded)


def test_nanogpt_without_biases_is_the_same_function() -> None:
    checkpoint = nanogpt(gpt2(1))
    there = {n: t for n, t in checkpoint["model"].items() if not n.endswith(".bias") or ".attn.bias" in n}
    loaded = load_weights(model := gpt2(), there)
    assert "13 biases that the file has not are 0" in str(loaded)
    assert all(not tensor.any() for name, tensor in model.state_dict().items() if name.endswith("bias"))
    some = {n: t for n, t in checkpoint["model"].items() if "ln_f.bias" not in n}
    with pytest.raises(UsageError, match=r"missing transformer\.ln_f\.bias"):
        load_weights(gpt2(), some)


@pytest.mark.parametrize(("number", "rows"), [(0, 32), (1, 128), (2, 512)])
def test_padding_is_cut_where_the_rest_fits(number: int, rows: int) -> None:
    file = theirs_of(gpt2(1), number)
    (name,) = (name for name in file if name.endswith("wte.weight"))
    file[name] = torch.cat([file[name], torch.ones(rows - 31, 16)])
    load_weights(model := gpt2(), file)
    expect_equal(model, gpt2(1))
    with pytest.raises(UsageError, match=rf"wte\.weight \(here tokens\.weight\) is {rows} x 16, not 31 x 16"):
        load_weights(gpt2(), {**file, "extra": torch.ones(2)})
    file[name] = file[name][:-1] if rows == 32 else torch.cat([file[name], torch.ones(1, 16)])
    if rows > 32:  # 129 rows round no vocabulary up
        with pytest.raises(UsageError, match="does not fit this GPT2"):
            load_weights(gpt2(), file)


def test_own_files_are_cut_too_and_classes_never() -> None:
    torch.manual_seed(1)
    other = lamina.create_model("transformer-lm", **{**TINY, "vocab_size": 32})
    model = lamina.create_model("transformer-lm", **TINY)
    load_weights(model, other.state_dict())
    assert torch.equal(model.tokens.weight, other.tokens.weight[:31])  # type: ignore[arg-type, union-attr, index]
    with pytest.raises(UsageError, match="has 8 classes, the model 7"):
        load_weights(net(num_classes=7), net(num_classes=8).state_dict())


def untied(prefix: str, number: int) -> Iterator[dict[str, Tensor]]:
    file = theirs_of(gpt2(1), number)
    wte = file[f"{prefix}wte.weight"]
    yield file | {"lm_head.weight": wte + 1e-3}
    yield file | {"lm_head.weight": wte[:-1].clone()}
    yield file | {"lm_head.weight": wte.half()}


@pytest.mark.parametrize(("prefix", "number"), [("", 0), ("transformer.", 1), ("transformer.", 2)])
def test_an_output_layer_of_its_own_is_not_ignored(prefix: str, number: int) -> None:
    for file in untied(prefix, number):
        before = gpt2()
        with pytest.raises(
            UsageError, match=rf"lm_head\.weight differs from {prefix}wte\.weight, and this GPT2 has one"
        ):
            load_weights(model := gpt2(), file)
        expect_equal(model, before)
    tied = theirs_of(gpt2(1), number)
    load_weights(model := gpt2(), tied | {"lm_head.weight": tied[f"{prefix}wte.weight"].clone()})
    expect_equal(model, gpt2(1))


# functions of other projects


@pytest.mark.parametrize("name", ["tf_efficientnet_b0_aa-827b6e33.pth", "tf_efficientnet_b0.ns/x.pth", "x/x.pth"])
def test_tensorflows_models_are_refused_by_name(name: str, tmp_path: Path) -> None:
    from lamina.weights.efficientnet import LAYOUTS

    small: dict[str, Any] = {"num_classes": 4, "widths": (8,) * 7, "stem_width": 8, "head_width": 8, "depths": (1,) * 7}
    model = lamina.create_model("efficientnet-b0", **small)
    translation = LAYOUTS[1].translation(model)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    torch.save({translation.theirs(name) or "": tensor for name, tensor in model.state_dict().items()}, path)
    (path.parent / "config.json").write_text('{"architecture": "tf_efficientnet_b0"}' if name == "x/x.pth" else "[")
    with pytest.raises(UsageError, match=r"which is not this EfficientNet: its tf_ models pad as TensorFlow does"):
        load_weights(model, path)
    same = lamina.create_model("efficientnet-b0", padding="tensorflow", eps=1e-3, **small)
    load_weights(same, path)
    expect_equal(same, model)
    with pytest.raises(UsageError, match=r"padding='tensorflow' and eps=1e-3"):
        load_weights(lamina.create_model("efficientnet-b0", padding="tensorflow", **small), path)
    plain = tmp_path / "efficientnet_b0.pth"
    path.rename(plain)
    (tmp_path / "config.json").unlink(missing_ok=True)
    assert load_weights(model, plain).notes == ()
    other = lamina.create_model("efficientnet-b0", **small, eps=1e-3)
    assert "this model 0.001: build it with eps=1e-5" in str(load_weights(other, plain))


def test_modules_side_by_side_in_one_state_dict() -> None:
    """What Lightning saves of a module with a second model, a loss with weights, a metric with buffers."""
    right = dict(lamina.create_model("lenet5").state_dict())
    other = {name: tensor + 1 for name, tensor in right.items()}
    for beside in (
        {f"ema_model.module.{name}": tensor for name, tensor in other.items()},
        {"criterion.weight": torch.ones(10)},
        {"train_accuracy.tp": torch.zeros(10)},
    ):
        content = {"epoch": 3, "state_dict": {**{f"net.{name}": tensor for name, tensor in right.items()}, **beside}}
        module = next(iter(beside)).partition(".")[0]
        with pytest.raises(UsageError, match=f"--entry NAME.* takes the tensors of one module: .*{module}"):
            load_weights(lamina.create_model("lenet5"), content)
        load_weights(model := lamina.create_model("lenet5"), content, entry="net")
        assert all(torch.equal(tensor, right[name]) for name, tensor in model.state_dict().items())
    content["state_dict"] |= {f"ema_model.module.{name}": tensor for name, tensor in other.items()}  # type: ignore[operator]
    load_weights(model := lamina.create_model("lenet5"), content, entry="ema_model")
    assert all(torch.equal(tensor, other[name]) for name, tensor in model.state_dict().items())
    with pytest.raises(UsageError, match="no entry 'swa' with weights"):
        load_weights(model, content, entry="swa")
