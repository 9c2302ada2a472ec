"""GPT-2 as transformers writes it to a folder: generated with, judged and trained from, or refused by the key that
makes it another model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import lamina
import text_tokenizers as made
from lamina.decoding import generate
from lamina.errors import DataError, UsageError
from lamina.runs.published import open_weights
from lamina.weights.gpt2 import LAYOUTS

CONFIG: dict[str, Any] = {
    "model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 8, "n_positions": 24, "activation_function": "gelu_new",
    "resid_pdrop": 0.0, "attn_pdrop": 0.0, "n_inner": None, "tie_word_embeddings": True,
}  # fmt: skip
TOKENIZER = made.byte_pairs(290)
SIZES = {"vocab_size": TOKENIZER.get_vocab_size(), "layers": 2, "heads": 2, "width": 8, "context": 24}


def model() -> torch.nn.Module:
    torch.manual_seed(3)
    made_here = lamina.create_model("gpt2", **SIZES, dropout=0.0)
    for parameter in made_here.parameters():
        parameter.data.mul_(5)  # far from even probabilities
    return made_here.eval()


def theirs() -> dict[str, Tensor]:
    translation = LAYOUTS[1].translation(model())
    names = {translation.theirs(name): tensor for name, tensor in model().state_dict().items()}
    return {name: tensor.contiguous() for name, tensor in translation.transpose(names).items() if name}  # type: ignore[arg-type]


def folder(path: Path, *, two_files: bool = False, shards: bool = False, pickled: bool = False, **config: Any) -> Path:
    path.mkdir()
    stated = {**CONFIG, "vocab_size": SIZES["vocab_size"], **config}
    (path / "config.json").write_text(json.dumps({k: v for k, v in stated.items() if v != "left out"}))
    if two_files:
        made.two_files(TOKENIZER, path)
    else:
        TOKENIZER.save(str(path / "tokenizer.json"))
    tensors = theirs()
    if shards:
        places = {name: f"model-{1 + i % 2:05}-of-00002.safetensors" for i, name in enumerate(tensors)}
        for file in set(places.values()):
            save_file({name: tensors[name] for name in tensors if places[name] == file}, path / file)
        (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    elif pickled:
        torch.save(tensors, path / "pytorch_model.bin")
    else:
        save_file(tensors, path / "model.safetensors", {"format": "pt"})
    return path


def own_text(prompt: str, new: int) -> str:
    """The text that our model, built by hand, writes."""
    ids = TOKENIZER.encode(prompt).ids
    end = TOKENIZER.token_to_id("<|endoftext|>")
    (found,) = generate(model(), [ids], max_new_tokens=new, greedy=True, end=end)
    return str(TOKENIZER.decode(ids + found))[len(prompt) :]


@pytest.mark.parametrize("how", [{}, {"two_files": True}, {"shards": True}, {"pickled": True}])
def test_a_folder_generates_what_its_weights_do(how: dict[str, bool], tmp_path: Path) -> None:
    opened = lamina.open_pretrained(folder(tmp_path / "gpt2", **how))
    for prompt in ("the cat", " naïve 東京\n\nran"):
        wanted = own_text(prompt, 9)
        assert opened.generate(prompt, greedy=True, max_new_tokens=9) == [wanted]
        assert "".join(opened.stream(prompt, greedy=True, max_new_tokens=9)) == wanted
    assert len(opened.generate("the", "a cat", max_new_tokens=60)) == 2, "over several contexts"
    assert opened.verbs == ("evaluate", "generate")
    assert {path.name for path in tmp_path.iterdir()} == {"gpt2"}


def test_text_ends_at_the_end_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = lamina.open_pretrained(folder(tmp_path / "gpt2"))
    end = opened.preprocess.code.stop  # type: ignore[attr-defined]
    with torch.no_grad():
        opened.model.tokens.weight[end] = 0.0  # type: ignore[union-attr,index,operator]
        norm = opened.model.stack.norm  # type: ignore[union-attr]
        norm.weight.zero_()  # type: ignore[union-attr,operator]
        norm.bias.copy_(torch.ones(8))  # type: ignore[union-attr,operator]
        opened.model.tokens.weight[end] = 9.0  # type: ignore[union-attr,index,operator]
    for most in (5, 50):
        assert opened.generate("the cat", greedy=True, max_new_tokens=most) == [""]
        assert "".join(opened.stream("the cat", greedy=True, max_new_tokens=most)) == ""


def test_training_takes_tokenizer_and_sizes_and_keeps_them(tmp_path: Path) -> None:
    where = folder(tmp_path / "hf")
    (tmp_path / "text.txt").write_text(made.TEXT * 4, encoding="utf-8")
    run = lamina.train(
        "gpt2", data=str(tmp_path / "text.txt"), weights=where, steps=1, batch_size=2, lr=1e-30, final_lr=0.0,
        directory=tmp_path, name="tuned", report=False,
    )  # fmt: skip
    judged = lamina.evaluate("gpt2", weights=where, data=str(tmp_path / "text.txt"), split="test", batch_size=2)
    assert run.evaluate("test") == pytest.approx(judged)
    assert run.evaluate("test")["loss"] > 2
    shutil.rmtree(where)
    again = lamina.open_run(run.path)
    assert again.generate("the cat", greedy=True, max_new_tokens=9) == [own_text("the cat", 9)]
    assert again.preprocess.code.stop == 0  # type: ignore[attr-defined]


def test_what_contradicts_the_folder_is_refused(tmp_path: Path) -> None:
    where = folder(tmp_path / "hf")
    (tmp_path / "text.txt").write_text(made.TEXT * 4, encoding="utf-8")
    made.byte_pairs(290, [text[::-1] for text in made.TEXTS]).save(str(tmp_path / "other.json"))
    common = {"data": str(tmp_path / "text.txt"), "weights": str(where)}
    for options, says in (
        ({"model": {"context": 12}}, "context=12, but .* states 24"),
        ({"model": {"layers": 3}}, "layers=3, but .* states 2"),
        ({"window": 48}, "longer than the model's context of 24"),
        ({"tokenizer": str(tmp_path / "other.json")}, "trained with another tokenizer"),
    ):
        with pytest.raises(UsageError, match=says):
            lamina.prepare("gpt2", {**common, **options}, dry=True)
    assert lamina.prepare("gpt2", {**common, "model": {"dropout": 0.3}}, dry=True).parts.model.config.dropout == 0.3  # type: ignore[union-attr]
    made.byte_pairs(320).save(str(where / "tokenizer.json"))
    for call in (lambda: lamina.prepare("gpt2", common, dry=True), lambda: lamina.open_pretrained(where)):
        with pytest.raises(UsageError, match=r"has 3.. tokens, but .* states a vocab_size of 2"):
            call()


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"activation_function": "relu"}, "activation_function is 'relu'"),
        ({"activation_function": "gelu"}, "activation_function is 'gelu'"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ({"scale_attn_weights": False}, "scale_attn_weights is False"),
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon is 1e-06"),
        ({"add_cross_attention": True}, "add_cross_attention is True"),
        ({"n_inner": 12}, "n_inner is 12; this GPT-2 has 4 times n_embd, 32"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is"),
        ({"n_layer": "two"}, "n_layer is 'two', expected a whole number"),
        ({"n_head": "left out"}, "n_head is None"),
        ({"model_type": "llama"}, "of a model 'llama', which is none here"),
        ({"n_layer": 3}, "does not fit this GPT2: missing"),
    ],
)
def test_another_function_is_refused_by_name(config: dict[str, Any], says: str, tmp_path: Path) -> None:
    where = folder(tmp_path / "hf", **config)
    with pytest.raises(UsageError, match=says):
        lamina.open_pretrained(where)
    with pytest.raises(UsageError, match=says):
        lamina.create_model("gpt2", weights=where)


def test_the_model_alone_takes_its_sizes_too(tmp_path: Path) -> None:
    where = folder(tmp_path / "hf", n_positions="left out", n_ctx=24, hidden_size=8)
    found = lamina.create_model("gpt2", weights=where)
    assert all(torch.equal(tensor, model().state_dict()[name]) for name, tensor in found.state_dict().items())


def test_what_is_no_such_folder(tmp_path: Path) -> None:
    for path, kind, says in (
        (tmp_path / "none", UsageError, "no model of transformers"),
        (tmp_path, UsageError, "no model of transformers"),
    ):
        with pytest.raises(kind, match=says):
            lamina.open_pretrained(path)
    where = folder(tmp_path / "hf")
    (where / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match=r"has no tokenizer\.json, nor vocab\.json and merges\.txt"):
        lamina.open_pretrained(where)
    (where / "config.json").write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        lamina.open_pretrained(where)


def test_weights_without_a_tokenizer_are_not_judged(tmp_path: Path) -> None:
    where = folder(tmp_path / "hf")
    (tmp_path / "text.txt").write_text(made.TEXT * 4, encoding="utf-8")
    (tmp_path / "alone").mkdir()
    alone = shutil.copy(where / "model.safetensors", tmp_path / "alone/x.safetensors")
    call: Callable[..., Any] = lambda **options: open_weights(  # noqa: E731
        "gpt2", alone, str(tmp_path / "text.txt"), options={"model": SIZES, **options}
    )
    with pytest.raises(UsageError, match="which tokenizer were the weights trained with"):
        call()
    found = call(tokenizer=str(where))
    assert any("does not say which tokenizer" in note for note in found.notes)
    wanted = lamina.evaluate("gpt2", weights=where, data=str(tmp_path / "text.txt"))
    assert found.evaluate() == pytest.approx(wanted)
