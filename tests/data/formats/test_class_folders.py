"""A folder for each class, as people have them: of texts or of images, in every order of splits, with strangers in."""

from __future__ import annotations

import gzip
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import lamina
from lamina.data.image.samples import ImageFiles
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.text.samples import Texts
from lamina.errors import DataError, UsageError
from lamina.runs.run import Run

Make = Callable[..., Path]
WHOLE: dict[str, Any] = {"validation": 0.0, "test": 0.0}
GOOD, BAD = "a wonderful film, truly moving", "the awful cast, at times boring"


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        packed = name.endswith(".gz")
        path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    return root


def reviews(root: Path, *folders: str, count: int = 4, name: str = "{}.txt") -> Path:
    return write(root, {f"{folder}/{name.format(i)}": f"{folder} {i}\n" for folder in folders for i in range(count)})


def texts(source: Source, split: str = "train") -> list[tuple[str, str]]:
    part = source.splits[split]
    assert isinstance(part, Texts)
    assert part.targets is not None
    return [(source.spec.classes[k], text) for k, text in zip(part.targets.tolist(), part.texts, strict=True)]


def opened(root: Path, **options: Any) -> Source:
    return open_source(str(root), options=DataOptions(**{**WHOLE, **options}))


def imdb(root: Path) -> Path:
    """The files of aclImdb."""
    reviews(root, "train/pos", "train/neg", "test/pos", "test/neg", name="{}_7.txt")
    reviews(root, "train/unsup", count=9, name="{}_0.txt")
    lists = {f"{split}/urls_{label}.txt": "http\n" for split in ("train", "test") for label in ("pos", "neg")}
    return write(root, {"README": "about", "imdb.vocab": "the\n", "imdbEr.txt": "0.1\n", "train/x.feat": "1", **lists})


def test_the_reviews_of_imdb(tmp_path: Path) -> None:
    source = opened(imdb(tmp_path / "downloads" / "aclImdb").parent)
    spec = source.spec
    assert (spec.kind, spec.task, spec.classes) == ("text", "classification", ("neg", "pos"))
    assert dict(spec.sizes) == {"train": 8, "test": 8}
    assert texts(source, "test")[0] == ("neg", "test/neg 0\n")
    assert all(f"/{label} " in text for split in ("train", "test") for label, text in texts(source, split))
    assert any("'unsup': 9 texts without a label" in note for note in spec.skipped)
    assert any("5 texts outside the class folders" in note for note in spec.skipped)
    running = opened(tmp_path / "downloads" / "aclImdb", task="language-modelling")
    assert running.splits["train"].text.startswith("train/neg 0\ntrain/neg 1\n")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "folders",
    [
        ("sport", "world news", "Größe"),
        ("a/deep/er/sport", "a/deep/er/world news", "a/deep/er/Größe"),
        ("20news-bydate-train/sport", "20news-bydate-train/world news", "20news-bydate-train/Größe"),
    ],
)
@pytest.mark.parametrize("name", ["{}.txt", "{}.TXT", "4996{}", "part/{}.txt.gz"])
def test_folders_of_texts(tmp_path: Path, folders: tuple[str, ...], name: str) -> None:
    if "train" in folders[0]:
        reviews(tmp_path, folders[0].replace("train", "test"), name=name)
    reviews(tmp_path, *folders, name=name)
    write(tmp_path / folders[0], {"README.txt": "about", "Thumbs.db": "x", "desktop.ini": "x", ".hidden.txt": "x"})
    write(tmp_path, {"README.txt": "about", "__MACOSX/sport/._0.txt": "x", "@eaDir/0.txt": "x"})
    source = opened(tmp_path)
    assert source.spec.classes == ("Größe", "sport", "world news")
    assert sorted(texts(source)) == sorted((Path(one).name, f"{one} {i}\n") for one in folders for i in range(4))
    assert ("test" in source.spec.sizes) == ("train" in folders[0])


def test_splits_within_the_classes(tmp_path: Path, image_folder: Make) -> None:
    reviews(tmp_path / "t", "pos/train", "neg/train", "pos/test", "neg/test")
    source = opened(tmp_path / "t")
    assert (source.spec.classes, dict(source.spec.sizes)) == (("neg", "pos"), {"train": 8, "test": 8})
    assert texts(source, "test")[-1] == ("pos", "pos/test 3\n")
    pictures = image_folder({"cat/train": 3, "cat/val": 1, "dog/train": 4, "dog/val": 2})
    assert (opened(pictures).spec.classes, dict(opened(pictures).spec.sizes)) == (
        ("cat", "dog"),
        {"train": 7, "validation": 3},
    )


def test_what_fills_the_folders_decides(tmp_path: Path, image_folder: Make) -> None:
    pictures = image_folder({"cat": 3, "dog": 2})
    for label in ("cat", "dog"):
        write(pictures / label, {"README.txt": "about", "licence": "free", "list.txt": "0.png\n"})
    assert (opened(pictures).spec.kind, opened(pictures).spec.sizes["train"]) == ("image", 5)
    essays = reviews(tmp_path / "essays", "good", "poor")
    (essays / "good" / "logo.png").write_bytes((pictures / "cat" / "0.png").read_bytes())
    assert (opened(essays).spec.kind, opened(essays).spec.sizes["train"]) == ("text", 8)


def test_bad_texts_are_named_or_left_out(tmp_path: Path, refused: Any) -> None:
    root = reviews(tmp_path, "good", "poor")
    (root / "good" / "1.txt").write_bytes(b"")
    with refused(DataError, "1.txt' is empty", "--skip-bad"):
        opened(root)
    (root / "poor" / "2.txt").write_bytes("schön".encode("latin-1"))
    source = opened(root, skip_bad=True)
    assert source.spec.skipped == ("good/1.txt", "poor/2.txt")
    assert texts(source) == [(one, f"{one} {i}\n") for one in ("good", "poor") for i in range(4) if (one, i) not in
                             (("good", 1), ("poor", 2))]  # fmt: skip


def test_empty_and_strange_class_folders(image_folder: Make, refused: Any) -> None:
    root = image_folder({"train/a": 4, "train/b": 4, "test/a": 2, "test/c": 3})
    (root / "train" / "empty").mkdir()
    with refused(DataError, "no images in the class folder", "empty", "--skip-bad"):
        opened(root)
    source = opened(root, skip_bad=True)
    assert (source.spec.classes, dict(source.spec.sizes)) == (("a", "b"), {"train": 8, "test": 2})
    assert any("'empty'" in note for note in source.spec.skipped)
    assert any("class 'c'" in note and "3 images" in note for note in source.spec.skipped)
    (root / "train" / "empty").rmdir()
    with refused(DataError, "class 'c' is in 'test' but not in train", "--skip-bad"):
        opened(root)


def test_images_outside_the_class_folders_are_noted(image_folder: Make) -> None:
    root = image_folder({"a": 4, "b": 4})
    (root / "cover.png").write_bytes((root / "a" / "0.png").read_bytes())
    source = opened(root)
    assert source.spec.sizes["train"] == 8
    assert source.spec.skipped == ("1 image outside the class folders, such as cover.png",)


def test_decomposed_names_are_the_same_class(image_folder: Make) -> None:
    name = "Hängematte"
    composed, decomposed = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    root = image_folder({f"train/{composed}": 3, "train/x": 3, f"test/{decomposed}": 2})
    source = opened(root)
    assert source.splits["test"].targets.tolist() == [source.spec.classes.index(composed)] * 2


def test_a_link_to_the_folder_around_ends(image_folder: Make) -> None:
    root = image_folder({"a": 4, "b": 4})
    (root / "a" / "again").symlink_to(root, target_is_directory=True)
    assert opened(root).spec.sizes["train"] == 8


def test_a_list_of_images_is_no_text(image_folder: Make, refused: Any) -> None:
    root = image_folder({"images": 4})
    (root / "train.txt").write_text("images/0.png 1\nimages/1.png 0\n")
    with refused(UsageError, "train.txt' lists images", "--root"):
        opened(root)


def test_runs_beside_texts_are_no_data(tmp_path: Path) -> None:
    root = reviews(tmp_path, "good", "poor")
    before = opened(root).spec.fingerprint
    write(root / "runs", {"notes.txt": "mine", "lstm/log.txt": "x"})
    for name, content in (("config.yaml", "format: 1\n"), ("card.json", "{}")):
        (root / "runs" / "lstm" / name).write_text(content)
    assert opened(root).spec.fingerprint == before


@pytest.fixture(scope="module")
def critic(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("critic")
    lines = {"pos": GOOD, "neg": BAD}
    write(root / "reviews", {f"{one}/{i}.txt": f"{line} {i % 9}" for one, line in lines.items() for i in range(40)})
    return lamina.train(
        "lstm-classifier", data=str(root / "reviews"), epochs=6, batch_size=8, lr=0.02, directory=root, report=False,
        model_options={"embedding_dim": 8, "hidden_size": 8},
    )  # fmt: skip


@pytest.mark.parametrize("folder", ["", "pos"])
@pytest.mark.parametrize("truth", ["pos", "neg"])
def test_a_folder_of_one_class_is_judged_by_name(critic: Run, tmp_path: Path, folder: str, truth: str) -> None:
    """In a folder around it, or itself: its class is that of the run with its name, not the first."""
    assert critic.evaluate()["accuracy"] == 1
    write(tmp_path / "test" / "pos", {f"{i}.txt": GOOD if truth == "pos" else BAD for i in range(5)})
    data = str(tmp_path / "test" / folder)
    assert critic.evaluate(data=data)["accuracy"] == (truth == "pos")


def test_a_class_the_run_does_not_have(critic: Run, tmp_path: Path) -> None:
    write(tmp_path / "test" / "mixed", {"0.txt": GOOD})
    with pytest.raises(DataError, match="class 'mixed', which the model does not know"):
        critic.evaluate(data=str(tmp_path / "test"))


def test_pictures_of_one_class(image_folder: Make, tmp_path: Path) -> None:
    root = image_folder({"train/dark": 9, "train/light": 9}, mode="L")
    run = lamina.train("mlp", data=str(root), steps=1, batch_size=4, directory=tmp_path, report=False)
    one = image_folder({"light": 4}, mode="L", name="test")
    shares = [row["class"] == "light" for row in run.predict(*map(str, sorted((one / "light").iterdir())))]
    for data in (one, one / "light"):
        assert run.evaluate(data=str(data))["accuracy"] == sum(shares) / 4
    part = run.other_source(str(one / "light")).splits["train"]
    assert isinstance(part, ImageFiles)
    assert part.targets is not None
    assert part.targets.tolist() == [1] * 4
    (one / "light").rename(one.parent / "elsewhere")
    with pytest.raises(DataError, match="class 'elsewhere', which the model does not know"):
        run.evaluate(data=str(one.parent / "elsewhere"))
