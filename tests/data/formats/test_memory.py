"""Data in memory: what is read equals what is read from the file of it, and what is refused says what to give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lamina.data.description import describe
from lamina.data.image.samples import ImageArrays, ImageFiles
from lamina.data.modality import fit_preprocess
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.protocols import Needs
from lamina.data.text.samples import Pairs, Text, Texts
from lamina.errors import DataError, UsageError

WHOLE = DataOptions(validation=0, test=0)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(np.int64)
GREY = RNG.integers(0, 256, (40, 6, 8), dtype=np.uint8)
NAMES = [("cat", "dog")[k] for k in Y]
REVIEWS = [f"a film of {k} minutes" for k in range(40)]
GERMAN = [f"ein Film von {k} Minuten" for k in range(40)]


def frame() -> pd.DataFrame:
    table = pd.DataFrame(X, columns=["width", "height", "depth"])
    table.loc[3, "height"] = np.nan
    table["count"] = [k * k % 9 for k in range(40)]
    table["colour"] = [("red", "green", "blue")[k % 3] for k in range(40)]
    table["wet"] = [k % 4 == 0 for k in range(40)]
    table["day"] = pd.date_range("2024-01-01", periods=40)
    return table.assign(animal=NAMES)


def same(one: Any, other: Any) -> bool:
    """Two sources of equal content."""
    assert one.spec.fingerprint == other.spec.fingerprint
    assert (one.spec.classes, one.spec.sizes, one.spec.task) == (other.spec.classes, other.spec.sizes, other.spec.task)
    return True


def test_a_frame_is_the_csv_of_it(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "animals.csv", index=False)
    for options in (DataOptions(target="animal"), DataOptions(target="width", drop=("day",)), DataOptions()):
        assert same(open_source(frame(), options=options), open_source(str(tmp_path / "animals.csv"), options=options))


def test_the_index_and_the_order_of_splits_do_not_matter() -> None:
    one, options = frame(), DataOptions(target="animal", validation=0)
    parts = {"test": one[30:], "train": one[:30].set_index(pd.Index(range(100, 130), name="id"))}
    found = open_source(parts, options=options)
    assert dict(found.spec.sizes) == {"train": 30, "test": 10}
    reordered = {"train": one[:30], "test": one[30:][[*one.columns[::-1]]]}
    assert same(found, open_source(reordered, options=options))


def test_labels_beside_a_frame_are_a_column_of_it() -> None:
    inputs, animal = frame().drop(columns="animal"), frame()["animal"]
    expected = open_source(frame(), options=DataOptions(target="animal"))
    assert same(open_source((inputs, animal)), expected)
    assert same(open_source((inputs, animal.tolist())), expected)
    assert same(open_source((inputs[::-1], animal.to_numpy()[::-1])), open_source((inputs[::-1], animal[::-1])))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param((X, Y), id="numpy"),
        pytest.param((torch.tensor(X), torch.tensor(Y)), id="torch"),
        pytest.param((X.tolist(), Y.tolist()), id="lists"),
        pytest.param(list(zip(torch.tensor(X), torch.tensor(Y), strict=True)), id="samples"),
        pytest.param(torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y)), id="data-set"),
        pytest.param({"train": (X, Y)}, id="split"),
    ],
)
def test_arrays_are_the_npz_of_them(tmp_path: Path, data: Any) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    assert same(open_source(data), open_source(str(tmp_path / "a.npz")))


@pytest.mark.parametrize("images", [GREY, GREY[..., None] + np.zeros(3, np.uint8), GREY[:, None] / np.float32(255)])
def test_images_are_the_npz_of_them(tmp_path: Path, images: np.ndarray[Any, Any]) -> None:
    np.savez(tmp_path / "a.npz", images=images, labels=NAMES)
    expected = open_source(str(tmp_path / "a.npz"))
    assert same(open_source((images, NAMES)), expected)
    assert same(open_source((torch.from_numpy(images), NAMES)), expected)
    assert same(open_source(([*images], NAMES)), expected)
    both = {"train": (images[:30], NAMES[:30]), "valid": (images[30:], NAMES[30:])}
    assert len(open_source(both).splits["validation"]) == 10


def test_labels_of_several_kinds() -> None:
    assert open_source((X, X[:, :2])).spec.task == "regression"
    assert open_source((X, X[:, 1])).spec.targets == ("label",)
    assert open_source((X, np.stack([Y, 1 - Y], 1))).spec.task == "multilabel"
    assert open_source((X, None)).spec.task == "none"
    assert open_source((X, Y > 0)).spec.classes == ("False", "True")


def test_pictures_of_any_size_keep_their_pixels() -> None:
    pictures = [Image.fromarray(RNG.integers(0, 256, (5 + k % 3, 7, 3), dtype=np.uint8)) for k in range(40)]
    source = open_source((pictures, NAMES), options=WHOLE)
    assert (source.spec.channels, source.spec.height, source.spec.width) == (3, None, None)
    train: Any = source.splits["train"]
    assert isinstance(train, ImageFiles)
    samples: Any = fit_preprocess(source, Needs(size=(7, 7))).encode(train.subset([2]))
    assert torch.equal(samples.tensors["image"][0], torch.from_numpy(np.array(pictures[2])).permute(2, 0, 1))
    arrays = [np.asarray(picture) for picture in pictures]
    assert same(source, open_source((arrays, NAMES), options=WHOLE))
    changed = [*pictures[:-1], pictures[0]]
    assert open_source((changed, NAMES), options=WHOLE).spec.fingerprint != source.spec.fingerprint


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_pictures_of_any_mode_are_those_of_files(tmp_path: Path, mode: str) -> None:
    values = RNG.integers(0, 65536, (4, 5, 5)).astype(np.uint16)
    sixteen = [Image.fromarray(one) for one in values]
    eight = [Image.fromarray((one >> 8).astype(np.uint8)) for one in values]
    pictures = sixteen if mode == "I;16" else [one.convert(mode) for one in eight]
    form = "tiff" if mode in ("CMYK", "YCbCr") else "png"
    for number, picture in enumerate(pictures):
        (tmp_path / "ab"[number % 2]).mkdir(exist_ok=True)
        picture.save(tmp_path / "ab"[number % 2] / f"{number}.{form}")
    files = open_source(str(tmp_path), options=WHOLE)
    memory = open_source((pictures, [*"abab"]), options=WHOLE)
    encoded = [fit_preprocess(one).encode(one.splits["train"]) for one in (files, memory)]
    order = [0, 2, 1, 3]
    one, other = (samples.tensors["image"] for samples in encoded)  # type: ignore[union-attr]
    assert torch.equal(one, other[order])


def test_a_data_set_with_names_of_classes() -> None:
    class Digits(torch.utils.data.Dataset[Any]):
        classes = ("zero", "one", "two")

        def __len__(self) -> int:
            return len(GREY)

        def __getitem__(self, number: int) -> Any:
            return Image.fromarray(GREY[number]), int(Y[number])

    source = open_source(Digits(), options=WHOLE)
    assert source.spec.classes == ("zero", "one", "two")
    assert source.splits["train"].targets.tolist() == Y.tolist()  # type: ignore[attr-defined]
    assert isinstance(
        open_source([(torch.rand(3, 4, 4), 1), (torch.rand(3, 4, 4), 0)] * 9).splits["train"], ImageArrays
    )


def test_rows_as_dictionaries() -> None:
    rows = frame().drop(columns="day").to_dict("records")
    options = DataOptions(target="animal")
    expected = open_source(frame().drop(columns="day"), options=options)
    assert same(open_source(rows, options=options), expected)
    assert same(open_source(frame().drop(columns="day").to_dict("list"), options=options), expected)
    samples = [{"image": image, "label": name} for image, name in zip(GREY, NAMES, strict=True)]
    assert same(open_source(samples), open_source((GREY, NAMES)))


def test_texts_with_labels_are_the_table_of_them(tmp_path: Path) -> None:
    pd.DataFrame({"text": REVIEWS, "label": NAMES}).to_csv(tmp_path / "r.csv", index=False)
    expected = open_source(str(tmp_path / "r.csv"), options=DataOptions(text="text", target="label"))
    assert isinstance(expected.splits["train"], Texts)
    assert same(open_source((REVIEWS, NAMES)), expected)
    assert same(open_source([*zip(REVIEWS, NAMES, strict=True)]), expected)
    assert same(open_source((pd.Series(REVIEWS), np.array(NAMES))), expected)
    few = open_source((["a b", "c d", "e f", "g h"], [0, 1, 0, 1]), options=WHOLE)
    assert few.spec.classes == ("0", "1")


def test_texts_alone_are_running_text(tmp_path: Path) -> None:
    (tmp_path / "all.txt").write_text("\n".join(REVIEWS) + "\n", encoding="utf-8")
    expected = open_source(str(tmp_path / "all.txt"))
    assert isinstance(expected.splits["train"], Text)
    for data in (REVIEWS, tuple(REVIEWS), pd.Series(REVIEWS), (REVIEWS, None), {"train": REVIEWS}):
        assert same(open_source(data), expected)


def test_pairs_of_texts_are_the_file_of_them(tmp_path: Path) -> None:
    lines = "".join(f"{one}\t{other}\n" for one, other in zip(REVIEWS, GERMAN, strict=True))
    (tmp_path / "all.txt").write_text(lines, encoding="utf-8")
    expected = open_source(str(tmp_path / "all.txt"))
    assert isinstance(expected.splits["train"], Pairs)
    assert same(open_source((REVIEWS, GERMAN)), expected)
    assert same(open_source([*zip(REVIEWS, GERMAN, strict=True)]), expected)
    assert same(open_source([[one, other] for one, other in zip(REVIEWS, GERMAN, strict=True)]), expected)
    named = open_source((REVIEWS, GERMAN), options=DataOptions(languages=("en", "de")))
    assert named.spec.languages == ("en", "de")
    back = open_source((REVIEWS, GERMAN), options=DataOptions(languages=("second", "first"), validation=0, test=0))
    assert back.splits["train"].sources[0] == GERMAN[0]  # type: ignore[attr-defined]
    few, options = (["ja", "nein"] * 20, ["yes", "no"] * 20), DataOptions(task="translation", validation=0, test=0)
    assert open_source(few, options=options).spec.task == "translation"
    assert open_source(few, options=WHOLE).spec.task == "classification"


def test_names_are_names() -> None:
    with pytest.raises(UsageError, match="several names"):
        open_source(["iris", "wine"])
    with pytest.raises(UsageError, match="no such file"):
        open_source(Path("nowhere.csv"))
    assert open_source({"train": ["iris", "wine"] * 30}).spec.task == "language-modelling"


def endless() -> Iterator[int]:
    yield 1


class Endless(torch.utils.data.IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        yield 1


class Restless(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 9

    def __getitem__(self, number: int) -> Any:
        return torch.rand(4), number % 2


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param((X, Y[:-1]), ["40 inputs", "39 labels"], id="lengths"),
        pytest.param((frame(), Y[:-1]), ["40 rows", "39 labels"], id="rows"),
        pytest.param((REVIEWS, NAMES[:-1]), ["40 inputs", "39 labels"], id="texts"),
        pytest.param((X.astype(object), Y), ["type object", "data frame"], id="objects"),
        pytest.param((X, [*NAMES[:-1], 1]), ["labels are mixed", "40"], id="mixed-labels"),
        pytest.param((X, np.where(Y == 0, np.nan, Y)), ["label is missing"], id="nan"),
        pytest.param((X, [None, *Y[1:].tolist()]), ["sample 1", "label is missing"], id="none"),
        pytest.param((X, [["a", "b"]] * 40), ["zeros and ones"], id="lists-of-labels"),
        pytest.param((X, X[None]), ["two (N, K)", "3"], id="axes-of-labels"),
        pytest.param((X, set(NAMES)), ["labels are a list", "set"], id="set"),
        pytest.param(X[0], ["1 axes", "(N, F)"], id="axis"),
        pytest.param((X, Y, X, Y), ["4 members", "{'train': (inputs, labels)"], id="four"),
        pytest.param([], ["empty"], id="empty"),
        pytest.param(frame()[:0], ["empty"], id="no-rows"),
        pytest.param({}, ["empty dictionary"], id="empty-dictionary"),
        pytest.param([REVIEWS[0], 3.0], ["mixed", "texts and numbers", "sample 2"], id="mixed"),
        pytest.param([GREY[0], Image.fromarray(GREY[1])], ["mixed", "arrays and pictures"], id="mixed-pictures"),
        pytest.param([GREY[0], GREY[1] / 255], ["mixed", "float64 and uint8"], id="mixed-types"),
        pytest.param([X[0], X[1][:2]], ["one length"], id="ragged"),
        pytest.param([1, 2, 3], ["list of numbers", "(inputs, labels)"], id="numbers"),
        pytest.param(endless(), ["a generator has no length", "list"], id="generator"),
        pytest.param(Endless(), ["Endless has no length"], id="iterable"),
        pytest.param(torch.utils.data.DataLoader(Restless()), ["gives batches", ".dataset"], id="loader"),  # type: ignore[arg-type]
        pytest.param(Restless(), ["each time it is read", "random transforms"], id="random"),
        pytest.param(Image.fromarray(GREY[0]), ["list of pictures"], id="picture"),
        pytest.param(3, ["no length"], id="number"),
        pytest.param(b"bytes", ["bytes"], id="bytes"),
        pytest.param({"trian": X, "test": X}, ["trian", "did you mean"], id="misspelt-split"),
        pytest.param({"test": X}, ["no 'train'"], id="no-train"),
        pytest.param({"train": (X, Y), "test": X}, ["train has labels, test has none"], id="half"),
        pytest.param({"train": X, "test": GREY}, ["images of train", "2 axes"], id="other-axes"),
        pytest.param({"train": X, "test": frame()}, ["different kinds", "data frame"], id="kinds"),
        pytest.param({"train": "a.csv"}, ["'train' is a name", "folder"], id="names"),
        pytest.param({"a": 1, "b": 2}, ["splits", "columns", "a, b"], id="values"),
        pytest.param(
            (frame()[["width"]], frame()["animal"].sample(frac=1, random_state=0)), ["two orders"], id="shuffled"
        ),
        pytest.param((frame(), frame()["animal"]), ["called 'animal'"], id="twice"),
    ],
)
def test_refused_in_one_line(data: Any, words: list[str]) -> None:
    with pytest.raises((UsageError, DataError)) as caught:
        open_source(data)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_options_that_do_not_belong(refused: Callable[..., Any]) -> None:
    with refused(UsageError, "has no columns", "price"):
        open_source((X, Y), options=DataOptions(target="price"))
    with refused(UsageError, "labels of its own", "width"):
        open_source((frame(), Y), options=DataOptions(target="width"))
    with refused(UsageError, "layout"):
        open_source((RNG.random((9, 5, 7, 5)), NAMES[:9]))
    assert open_source((RNG.random((9, 5, 7, 5)), None), options=DataOptions(layout="NCHW")).spec.height == 7


def test_described() -> None:
    assert describe(open_source((X, Y)))["name"] == "arrays of 40 samples"
    assert describe(open_source(frame()))["name"] == "a data frame of 40 rows"


CELLS = {
    "number": st.floats(-1e9, 1e9, allow_nan=False),
    "small": st.sampled_from([0.1, 0.2, 0.30000000000000004, 1e-12]),
    "whole": st.integers(-(2**53), 2**53),
    "truth": st.booleans(),
    "word": st.sampled_from(["red", "green", "dark blue", "x,y", 'a "b"', "é"]),
    "cell": st.sampled_from(["NA", " red ", "red", "0012", "7", "1,5", "1.5", "", "None", "true", "12%"]),
    "single": st.sampled_from([np.float32(0.1), np.float32(1 / 3), np.float32(7)]),
    "gap": st.sampled_from([None, 1.5, 2.0]),
    "day": st.datetimes().map(lambda when: pd.Timestamp(when).floor("s")),
}


@given(st.data())
def test_any_frame_is_the_csv_of_it(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from([*CELLS]), min_size=1, max_size=4))
    rows = data.draw(st.integers(1, 8))
    columns = {
        f"{kind} {k}": data.draw(st.lists(CELLS[kind], min_size=rows, max_size=rows)) for k, kind in enumerate(kinds)
    }
    table = pd.DataFrame(columns)
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    table.to_csv(path, index=False)
    found = []
    for given_data in (table, str(path)):
        try:
            found.append(open_source(given_data, options=WHOLE).spec.fingerprint)
        except DataError as error:
            found.append(type(error).__name__)
    assert found[0] == found[1]
