"""Folders: class folders, optionally in split folders, or the files of a known format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from lamina.data.formats.cifar import cifar_batches, open_cifar
from lamina.data.formats.classes import Splits, class_source, named_splits, splits_within
from lamina.data.formats.cmapss import cmapss_files, open_sets
from lamina.data.formats.idx import idx_pairs, open_idx
from lamina.data.formats.nab import is_nab, open_nab
from lamina.data.formats.numbered import expect_all, numbered_parts
from lamina.data.formats.shards import open_shards, tar_shards
from lamina.data.formats.tables import open_parts, open_table
from lamina.data.formats.texts import only_text, open_text, split_texts
from lamina.data.formats.tree import Folder, data_files, is_document, scan
from lamina.data.image.decoding import IMAGE_SUFFIXES, image_files
from lamina.data.image.files import image_files_source, relative
from lamina.data.image.index import NAME as INDEX
from lamina.data.image.index import write_index
from lamina.data.image.samples import ImageFiles
from lamina.data.options import DataOptions
from lamina.data.series.source import wants_series
from lamina.data.source import Source
from lamina.data.spec import ORDER, SPLIT_NAMES
from lamina.data.tabular.frames import is_table_of_data
from lamina.data.targets.labels import PREDICTED, class_labels, unlabelled
from lamina.data.text.files import joined_files_source
from lamina.data.text.names import parallel_files
from lamina.data.text.parallel import open_parallel
from lamina.data.text_files import is_text
from lamina.errors import DataError, UsageError, nearest

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
NO_LABELS = "'{}' holds images, but neither class folders nor a table of labels"
SIDES = ("A", "B")


def is_archive(path: Path) -> bool:
    return path.name.casefold().endswith(ARCHIVE_SUFFIXES)


def open_folder(name: str, path: Path, options: DataOptions) -> Source:
    """The source in a folder: idx pairs, CIFAR-10 batches, class folders of images or texts (in split folders or not),
    tables, texts, two unpaired sides (trainA, trainB, testA, testB), or pictures without classes.

    To evaluate a classifier, samples without class folders are of the class that their folder is named after. A single
    nested folder is entered. Class names are sorted as text. Hidden files, files without a suffix of the data
    and folders that training wrote are ignored. Raises UsageError if no format is recognised.
    """
    root = _descend(scan(path), options)
    if pairs := idx_pairs(root.path):
        return open_idx(name, pairs, options)
    if batches := cifar_batches(root.path):
        return open_cifar(name, batches, options)
    if shards := tar_shards(root):
        return open_shards(name, root.path, shards, options)
    if is_nab(root.path):
        return open_nab(name, root.path, options)
    files, folders = data_files(root.files), root.folders
    if sets := cmapss_files(files):
        return open_sets(name, sets, options)
    tables = [path for path in files if is_table_of_data(path)]
    holding = [folder for folder in folders if folder.images] or [folder for folder in folders if folder.texts]
    if sides := _side_folders(name, folders):
        return _two_sides(name, root, sides, options)
    if splits := _split_folders(root) or (splits_within(root) if len(holding) > 1 else {}):
        return class_source(name, root, splits, options)
    if parallel := parallel_files(files):
        return open_parallel(name, parallel, options)
    running = options.task in ("auto", "language-modelling") and not (options.languages or tables or root.images)
    if running and (pieces := numbered_parts(files, is_text)):
        expect_all([path for of_split in pieces.values() for path in of_split], options)
        return joined_files_source(name, pieces, options)
    if texts := split_texts(files):
        _expect_no_list(root, texts["train"])
        return open_text(name, texts, options)
    parts = numbered_parts(tables, is_table_of_data) or _parts_of_splits(root)
    if len(holding) < 2 and not wants_series(options) and parts:
        return open_parts(name, parts, options)
    if len(holding) < 2 and tables:
        by_split = {
            SPLIT_NAMES[key]: path for path in tables if (key := path.name.split(".")[0].casefold()) in SPLIT_NAMES
        }
        if "train" in by_split:
            ordered = {split: by_split[split] for split in ORDER if split in by_split}
            return open_table(name, ordered, options)
        if len(tables) == 1:
            return open_table(name, {"train": tables[0]}, options)
        raise UsageError(
            f"'{root.path}' holds several tables, none of them called train: name one, such as '{tables[0]}'"
        )
    if not options.teaches and options.task == "classification" and not holding:
        return class_source(name, root, {"train": {root.path.resolve().name: root}}, options)
    if not root.images and len(holding) < 2:
        text = only_text(root.path, files, options)
        if text is not None:
            return open_text(name, {"train": text}, options)
    if loose := _unlabelled_splits(root):
        hint = NO_LABELS.format(root.path) + (_beside(tables[0], loose["train"]) if tables else "")
        return image_files_source(name, root.path, loose, unlabelled(hint), options)
    if folders:
        return class_source(name, root, {"train": {folder.name: folder for folder in folders}}, options)
    raise _unrecognised(root)


def index_folder(name: str, path: Path, options: DataOptions) -> Path:
    """Write the index of the images in a folder, or in its shards, and return its path. Raises UsageError for a folder
    of other data, DataError for an image that cannot be read."""
    root = _descend(scan(path), options)
    (root.path / INDEX).unlink(missing_ok=True)
    splits = open_folder(name, path, options).splits.values()
    images = [image for split in splits if isinstance(split, ImageFiles) for image in split.paths]
    if not images:
        raise UsageError(f"--index is for images in folders or in tar shards, not for '{name}'")
    below = f"{root.path.as_posix().rstrip('/')}/"
    return write_index(root.path, {relative(image, below): image for image in images}, tar_shards(root))


def _beside(table: Path, images: Sequence[Path]) -> str:
    return f" (its labels may be in a table beside them: --data {table} --root {images[0].parent})"


def _expect_no_list(root: Folder, path: Path) -> None:
    """Raise UsageError for a text file that lists the images beside it."""
    if not root.images:
        return
    with path.open("rb") as file:
        first = file.readline(4096).decode(errors="replace")
    if any(Path(word.strip("\"'")).suffix.casefold() in IMAGE_SUFFIXES for word in re.split(r"[\s,;]+", first)):
        raise UsageError(
            f"'{path}' lists images, which is read from a table: make it a CSV file with a header such as file,label, "
            "and name the folder of the images with --root"
        )


def _unlabelled_splits(root: Folder) -> dict[str, list[Path]]:
    """Unlabelled images by split: in ``root`` itself, or in split folders; empty if there are other folders."""
    holding = [folder for folder in root.folders if folder.images]
    if not holding:
        loose = image_files(root.files)
        return {"train": loose} if loose else {}
    named = named_splits(holding)
    if len(named) < len(holding) or "train" not in named or any(folder.folders for folder in holding):
        return {}
    return {split: named[split].images for split in ORDER if split in named}


def _side_folders(name: str, folders: Sequence[Folder]) -> dict[str, dict[str, Folder]]:
    """Folders called trainA, trainB, testA, ... by split and side; empty if there are other folders.

    Raises DataError if one side of train is missing or empty.
    """
    found: dict[str, dict[str, Folder]] = {}
    for folder in folders:
        split, side = SPLIT_NAMES.get(folder.name[:-1].casefold()), folder.name[-1:].upper()
        if split is None or side not in SIDES:
            return {}
        found.setdefault(split, {})[side] = folder
    train = found.get("train")
    if train is None:
        return {}
    have = [side for side in SIDES if side in train and train[side].images]
    if not have:
        return {}
    if missing := [side for side in SIDES if side not in have]:
        other = train[have[0]].name
        raise DataError(
            f"{name}: there are images in '{other}' and none in '{other[:-1]}{missing[0]}': put those of the other "
            "side there, or name each side's folder with --data"
        )
    return found


def _two_sides(name: str, root: Folder, sides: dict[str, dict[str, Folder]], options: DataOptions) -> Source:
    """Two unpaired sets of images as classes "A" and "B"."""
    paths: dict[str, list[Path]] = {}
    indices: list[int] = []
    for split in (split for split in ORDER if split in sides):
        paths[split] = []
        for index, side in enumerate(SIDES):
            found = sides[split][side].images if side in sides[split] else []
            paths[split] += found
            indices += [index] * len(found)
    return image_files_source(name, root.path, paths, class_labels(indices, SIDES, name, options, "side"), options)


def _split_folders(root: Folder) -> Splits:
    """The class folders by split, if "train" is a folder that contains class folders (a class may also be called
    train). Folders may be called by a part of their names: 20news-bydate-train."""
    named = named_splits(root.folders)
    if not named:
        parts = {folder.name: re.split(r"[._\s-]+", folder.name.casefold()) for folder in root.folders}
        found = [(split, folder) for folder in root.folders for split in _one_split(parts[folder.name])]
        named = dict(found) if len(dict(found)) == len(found) > 1 else {}
    train = named.get("train")
    if train is None or not train.folders or image_files(train.files):
        return {}
    for folder in root.folders:
        near = nearest(folder.name, SPLIT_NAMES)
        if folder not in named.values() and near and SPLIT_NAMES[near] not in named:
            raise UsageError(f"'{folder.path}' is not a split; did you mean '{near}'?")
    for folder in named.values():
        if image_files(folder.files):
            raise UsageError(
                f"'{folder.path}' holds images outside class folders, but those of '{train.path}' are in class folders "
                f"(--data {train.path} reads these alone)"
            )
    return {split: {folder.name: folder for folder in named[split].folders} for split in ORDER if split in named}


def _parts_of_splits(root: Folder) -> dict[str, list[Path]]:
    """The tables in folders called train, validation and test, which hold nothing else (train/0000.parquet), by split;
    empty for other folders."""
    named = named_splits(root.folders)
    if "train" not in named or len(named) < len(root.folders) or any(map(is_table_of_data, root.files)):
        return {}
    held = {split: data_files(named[split].files) for split in ORDER if split in named}
    whole = all(files and all(map(is_table_of_data, files)) for files in held.values())
    return held if whole and not any(folder.folders for folder in root.folders) else {}


def _one_split(parts: Sequence[str]) -> list[str]:
    found = [SPLIT_NAMES[part] for part in parts if part in SPLIT_NAMES]
    return found if len(found) == 1 else []


def _descend(root: Folder, options: DataOptions) -> Folder:
    """The folder in it, if it is the only thing, and no class folder."""
    while True:
        known = (*IMAGE_SUFFIXES, ".bin", ".gz")
        files = [
            path for path in root.files if is_table_of_data(path) or is_text(path) or path.suffix.casefold() in known
        ]
        if len(root.folders) != 1 or not all(map(is_document, files)):
            return root
        (inner,) = root.folders
        classes = inner.folders and not image_files(inner.files)
        running = options.task not in PREDICTED and any(map(is_text, inner.files)) and not image_files(inner.files)
        texts = parallel_files(inner.files) or split_texts(inner.files) or running
        tables = numbered_parts(inner.files, is_table_of_data)
        if not (classes or texts or tables or idx_pairs(inner.path) or cifar_batches(inner.path)):
            return root
        root = inner


def _unrecognised(root: Folder) -> UsageError:
    if not root.files:
        return UsageError(f"the folder '{root.path}' is empty")
    archives = [path for path in root.files if is_archive(path) or path.suffix == ".npz"]
    if archives:
        return UsageError(f"'{root.path}' is a folder with an archive; did you mean '{archives[0]}'?")
    return UsageError(f"'{root.path}' holds nothing in a known format (first file: '{root.files[0].name}')")
