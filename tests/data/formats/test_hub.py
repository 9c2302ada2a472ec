"""The hub through a stand-in of the datasets library: nothing is downloaded in tests."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lamina.data.image.samples import ImageFiles
from lamina.data.modality import fit_preprocess
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.protocols import Needs
from lamina.data.text.samples import Pairs, Text, Texts
from lamina.errors import DataError, UsageError

WHOLE = DataOptions(validation=0, test=0)


class ImageFeature:
    def __init__(self, decode: bool = True) -> None:
        self.decode = decode


class ClassLabel:
    def __init__(self, *names: str) -> None:
        self.names = list(names)


class Part:
    """As much of datasets.Dataset as is used."""

    def __init__(self, features: dict[str, Any], columns: dict[str, list[Any]]) -> None:
        self.features, self.columns = features, columns

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __iter__(self) -> Any:
        for i in range(len(self)):
            row = {name: values[i] for name, values in self.columns.items()}
            for name, value in row.items():
                if isinstance(self.features[name], ImageFeature) and self.features[name].decode:
                    row[name] = Image.open(io.BytesIO(value["bytes"]))
            yield row

    def select_columns(self, names: list[str]) -> Part:
        return Part({name: self.features[name] for name in names}, {name: self.columns[name] for name in names})

    def cast_column(self, name: str, feature: Any) -> Part:
        return Part({**self.features, name: feature}, self.columns)

    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame(self.columns)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("datasets")
    module.Image, module.ClassLabel = ImageFeature, ClassLabel  # type: ignore[attr-defined]
    module.__version__ = "4.1.0"  # type: ignore[attr-defined]
    module.calls = []  # type: ignore[attr-defined]
    module.parts = {}  # type: ignore[attr-defined]

    def load_dataset(*arguments: Any, **options: Any) -> Any:
        module.calls.append((arguments, options))  # type: ignore[attr-defined]
        if isinstance(module.parts, Exception):
            raise module.parts
        return module.parts

    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    return module


def encoded(size: int, seed: int, kind: str) -> dict[str, Any]:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return {"bytes": file.getvalue(), "path": None}


def test_images_become_files_of_the_cache(hub: Any, tmp_path: Path) -> None:
    features = {"img": ImageFeature(), "fine": ClassLabel("cat", "dog"), "text": object()}
    local = tmp_path / "local.png"
    Image.new("RGB", (5, 5)).save(local)

    def part(count: int) -> Part:
        images = [encoded(4 + i % 2, i, ("PNG", "JPEG")[i % 2]) for i in range(count - 1)]
        images.append({"bytes": None, "path": str(local)})
        return Part(features, {"img": images, "fine": [i % 2 for i in range(count)], "text": ["x"] * count})

    hub.parts = {"train": part(20), "test": part(6)}
    source = open_source("hf:some/pets:small@v1.0")
    assert hub.calls == [(("some/pets", "small"), {"revision": "v1.0"})]
    assert (source.spec.kind, source.spec.classes) == ("image", ("cat", "dog"))
    assert dict(source.spec.sizes) == {"train": 18, "validation": 2, "test": 6}
    test = source.splits["test"]
    assert isinstance(test, ImageFiles)
    assert test.targets.tolist() == [0, 1] * 3
    assert {path.suffix for path in test.paths} == {".png", ".jpg"}
    assert test.paths[0].read_bytes() == hub.parts["test"].columns["img"][0]["bytes"]
    assert all(path.is_relative_to(tmp_path / "cache") for path in test.paths)
    assert fit_preprocess(source, Needs(size=(4, 4))).model_options()["num_classes"] == 2
    assert open_source("hf:some/pets:small@v1.0").spec.fingerprint == source.spec.fingerprint


def test_tables(hub: Any, refused: Any) -> None:
    features = {"age": object(), "kind": object(), "income": ClassLabel("low", "high")}
    columns = {"age": list(range(30)), "kind": ["a", "b", "c"] * 10, "income": [0, 1] * 15}
    hub.parts = {"train": Part(features, columns)}
    source = open_source("hf:adult@main")
    assert (source.spec.kind, source.spec.classes, source.spec.targets) == ("table", ("low", "high"), ("income",))
    assert [column.kind for column in source.spec.columns] == ["numeric", "categorical"]
    value = open_source("hf:adult@main", options=DataOptions(target="age"))
    assert value.spec.task == "regression"
    with refused(UsageError, "'incom'", "did you mean 'income'?"):
        open_source("hf:adult@main", options=DataOptions(target="incom"))
    hub.parts["train"].columns["income"][4] = -1
    with refused(DataError, "hf:adult@main, row 5", "target is missing"):
        open_source("hf:adult@main")
    hub.parts["train"].columns["income"][4] = 0
    hub.parts["test"] = Part(features, {**columns, "income": [-1] * 30})  # published without its labels
    source = open_source("hf:adult@main")
    assert sum(source.spec.sizes.values()) == 30
    assert source.spec.skipped == ("test: no labels",)


def test_texts_with_a_label(hub: Any, refused: Any) -> None:
    features = {"idx": object(), "sentence": object(), "label": ClassLabel("bad", "good")}
    columns = {"idx": list(range(30)), "sentence": [f"film {i}" for i in range(30)], "label": [0, 1] * 15}
    hub.parts = {"train": Part(features, columns)}
    source = open_source("hf:films@main", options=WHOLE)
    assert (source.spec.kind, source.spec.task, source.spec.classes) == ("text", "classification", ("bad", "good"))
    split = source.splits["train"]
    assert isinstance(split, Texts)
    assert split.texts == tuple(columns["sentence"])
    columns["sentence"][4] = " "
    with refused(DataError, "hf:films@main, row 5", "text is empty"):
        open_source("hf:films@main")
    split = open_source("hf:films@main", options=DataOptions(validation=0, test=0, skip_bad=True)).splits["train"]
    assert isinstance(split, Texts)
    assert split.targets.tolist() == [0, 1, 0, 1, 1, *[0, 1] * 12, 0][:29]
    assert len(split.texts) == 29


def test_data_sets_in_memory(hub: Any, tmp_path: Path) -> None:
    features = {"img": ImageFeature(), "fine": ClassLabel("cat", "dog")}
    images = [encoded(4 + i % 2, i, "PNG") for i in range(20)]
    part = Part(features, {"img": images, "fine": [i % 2 for i in range(20)]})
    source = open_source({"train": part, "test": part})
    assert (source.spec.name, source.spec.classes) == ("a data set of 40 rows", ("cat", "dog"))
    assert not [*(tmp_path / "cache").rglob("*.png")]
    hub.parts = {"train": part, "test": part}
    files = open_source("hf:some/pets@main")
    encode = fit_preprocess(files, Needs(size=(4, 4))).encode
    one, other = (encode(of.splits["test"]).tensors["image"] for of in (source, files))
    assert one.equal(other)
    rows = {"age": [*range(30)], "kind": ["a", "b", "c"] * 10, "income": [0, 1] * 15}
    table = Part({"age": object(), "kind": object(), "income": ClassLabel("low", "high")}, rows)
    hub.parts = {"train": table}
    assert open_source(table).spec.fingerprint == open_source("hf:adult@main").spec.fingerprint


def test_running_text(hub: Any) -> None:
    lines = ["", " = Title = \n", *(f"some words {i}\n" for i in range(30))]
    hub.parts = {name: Part({"text": object()}, {"text": lines}) for name in ("train", "validation", "test")}
    source = open_source("hf:wikitext:small@main")
    assert source.spec.task == "language-modelling"
    split = source.splits["test"]
    assert isinstance(split, Text)
    assert split.text == "\n = Title = \n" + "".join(lines[2:])


def test_translations(hub: Any, refused: Any) -> None:
    rows = [{"de": f"Wort {i}", "en": f"word {i}"} for i in range(30)]
    features = {"id": object(), "translation": object()}
    hub.parts = {"train": Part(features, {"id": list(range(30)), "translation": rows})}
    source = open_source("hf:opus@main", options=WHOLE)
    assert (source.spec.task, source.spec.languages) == ("translation", ("de", "en"))
    split = source.splits["train"]
    assert isinstance(split, Pairs)
    assert (split.sources[3], split.texts[3]) == ("Wort 3", "word 3")
    turned = open_source("hf:opus@main", options=DataOptions(languages=("en", "de")))
    assert turned.spec.languages == ("en", "de")
    columns = {name: [row[name] for row in rows] for name in ("en", "de")}
    hub.parts = {"train": Part(dict.fromkeys(columns, object()), columns)}
    split = open_source("hf:opus@main", options=DataOptions(languages=("en", "de"))).splits["train"]
    assert isinstance(split, Pairs)
    with refused(UsageError, "unknown language 'fr'"):
        open_source("hf:opus@main", options=DataOptions(languages=("fr", "de")))


def test_what_the_hub_cannot_give(hub: Any, refused: Any) -> None:
    for data in ("hf:mnist", "hf:@main", "hf:a/b/c@main", "hf:../x@main", "hf:/etc@main"):
        with refused(UsageError, data, "not a hub data set"):
            open_source(data)
    hub.parts = FileNotFoundError("no such\ndataset")
    with refused(UsageError, "hf:a/b@main", "no such dataset"):
        open_source("hf:a/b@main")
    hub.parts = {"unsupervised": Part({"a": object()}, {"a": [1]})}
    with refused(UsageError, "no train split", "unsupervised"):
        open_source("hf:x@main")


def test_no_code_and_no_local_folder_in_place_of_the_hub(
    hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any
) -> None:
    hub.parts = RuntimeError("offline")
    hub.__version__ = "3.6.0"
    with refused(UsageError, "offline"):
        open_source("hf:pets@main")
    assert hub.calls == [(("pets", None), {"revision": "main", "trust_remote_code": False})]
    (tmp_path / "pets").mkdir()
    monkeypatch.chdir(tmp_path)
    with refused(UsageError, "hf:pets@main", "the local 'pets'"):
        open_source("hf:pets@main")
    assert len(hub.calls) == 1


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with refused(UsageError, "hf:mnist@main", "pip install lamina[hub]"):
        open_source("hf:mnist@main")
