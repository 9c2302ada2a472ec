"""Folders: class folders, optionally in split folders, or the files of a known format."""

from __future__ import annotations

import os
from pathlib import Path

from lamina.data.formats.cifar import cifar_batches, open_cifar
from lamina.data.formats.idx import idx_pairs, open_idx
from lamina.data.formats.tables import open_table
from lamina.data.formats.texts import only_text, open_text, split_texts
from lamina.data.image.decoding import IMAGE_SUFFIXES, image_files
from lamina.data.image.files import image_files_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.splits import ORDER, SPLIT_NAMES
from lamina.data.tabular.frames import is_table
from lamina.data.targets.labels import PREDICTED, class_labels, unlabelled
from lamina.data.text.parallel import open_parallel, parallel_files
from lamina.data.text_files import is_text
from lamina.errors import DataError, UsageError, nearest

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
NO_DATA = ("__macosx",)
NO_LABELS = "'{}' holds images, but neither class folders nor a table of labels"
SIDES = ("A", "B")


def is_archive(path: Path) -> bool:
    return path.name.casefold().endswith(ARCHIVE_SUFFIXES)


def open_folder(name: str, root: Path, options: DataOptions) -> Source:
    """The source in a folder: idx pairs, CIFAR-10 batches, class folders (in split folders or not), tables, texts, two
    unpaired sides (trainA, trainB, testA, testB), or pictures without classes.

    A single nested folder is entered. Class names are sorted as text. Hidden files and files without an image suffix
    are ignored. Raises UsageError if no format is recognised.
    """
    root = _descend(root)
    if pairs := idx_pairs(root):
        return open_idx(name, pairs, options)
    if batches := cifar_batches(root):
        return open_cifar(name, batches, options)
    folders, files = _folders(root), _files(root)
    tables = [path for path in files if is_table(path)]
    by_split = {SPLIT_NAMES[key]: path for path in tables if (key := path.name.split(".")[0].casefold()) in SPLIT_NAMES}
    if parallel := parallel_files(files):
        return open_parallel(name, parallel, options)
    if texts := split_texts(files):
        return open_text(name, texts, options)
    if sides := _side_folders(name, folders):
        return _two_sides(name, root, sides, options)
    if splits := _split_folders(root, folders):
        return _class_folders(name, root, splits, options)
    if len([folder for folder in folders if images_under(folder)]) < 2 and tables:
        if "train" in by_split:
            ordered = {split: by_split[split] for split in ORDER if split in by_split}
            return open_table(name, ordered, options)
        if len(tables) == 1:
            return open_table(name, {"train": tables[0]}, options)
        raise UsageError(f"'{root}' holds several tables, none of them called train: name one, such as '{tables[0]}'")
    if not image_files(files) and not any(map(images_under, folders)):
        text = only_text(root, files, options)
        if text is not None:
            return open_text(name, {"train": text}, options)
    if loose := _unlabelled_splits(root, folders, files):
        return _unlabelled(name, root, loose, NO_LABELS.format(root), options)
    if folders:
        return _class_folders(name, root, {"train": root}, options)
    raise _unrecognised(root, files)


def images_under(folder: Path) -> list[Path]:
    """Image files in a folder and its subfolders, sorted by relative name."""
    found: list[Path] = []
    for where, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if _visible(name) and not holds_runs(Path(where, name))]
        found += image_files(Path(where, name) for name in files if _visible(name))
    return sorted(found, key=Path.as_posix)


def _class_folders(name: str, root: Path, splits: dict[str, Path], options: DataOptions) -> Source:
    classes = sorted({folder.name for folder in _folders(splits["train"])})
    paths: dict[str, list[Path]] = {}
    indices: list[int] = []
    for split, folder in splits.items():
        paths[split] = []
        for class_folder in _folders(folder):
            if class_folder.name not in classes:
                raise DataError(f"{name}: class '{class_folder.name}' is in '{folder.name}' but not in train")
            found = images_under(class_folder)
            paths[split] += found
            indices += [classes.index(class_folder.name)] * len(found)
            if not found and split == "train" and len(classes) > 1:
                raise DataError(f"no images in the class folder '{class_folder}'")
        if not paths[split]:
            known = ", ".join(sorted(IMAGE_SUFFIXES)[:6])
            raise UsageError(f"no images in the folders of '{folder}' (files ending in {known}, ...)")
    if len(classes) == 1 and options.task not in PREDICTED:
        hint = f"{name}: only one class ('{classes[0]}'), but targets need a folder for each class"
        return _unlabelled(name, root, paths, hint, options)
    return image_files_source(name, root, paths, class_labels(indices, classes, name, options), options)


def _unlabelled(name: str, root: Path, paths: dict[str, list[Path]], hint: str, options: DataOptions) -> Source:
    return image_files_source(name, root, paths, unlabelled(hint), options)


def _unlabelled_splits(root: Path, folders: list[Path], files: list[Path]) -> dict[str, list[Path]]:
    """Unlabelled images by split: in ``root`` itself, or in split folders; empty if there are other folders."""
    holding = [folder for folder in folders if images_under(folder)]
    if not holding:
        loose = image_files(files)
        return {"train": loose} if loose else {}
    named = {SPLIT_NAMES[folder.name.casefold()]: folder for folder in holding if folder.name.casefold() in SPLIT_NAMES}
    if len(named) < len(holding) or "train" not in named or any(map(_folders, holding)):
        return {}
    return {split: images_under(named[split]) for split in ORDER if split in named}


def _side_folders(name: str, folders: list[Path]) -> dict[str, dict[str, Path]]:
    """Folders called trainA, trainB, testA, ... by split and side; empty if there are other folders.

    Raises DataError if one side of train is missing or empty.
    """
    found: dict[str, dict[str, Path]] = {}
    for folder in folders:
        split, side = SPLIT_NAMES.get(folder.name[:-1].casefold()), folder.name[-1:].upper()
        if split is None or side not in SIDES:
            return {}
        found.setdefault(split, {})[side] = folder
    train = found.get("train")
    if train is None:
        return {}
    have = [side for side in SIDES if side in train and images_under(train[side])]
    if not have:
        return {}
    if missing := [side for side in SIDES if side not in have]:
        other = train[have[0]].name
        raise DataError(
            f"{name}: there are images in '{other}' and none in '{other[:-1]}{missing[0]}': put those of the other "
            "side there, or name each side's folder with --data"
        )
    return found


def _two_sides(name: str, root: Path, sides: dict[str, dict[str, Path]], options: DataOptions) -> Source:
    """Two unpaired sets of images as classes "A" and "B"."""
    paths: dict[str, list[Path]] = {}
    indices: list[int] = []
    for split in (split for split in ORDER if split in sides):
        paths[split] = []
        for index, side in enumerate(SIDES):
            found = images_under(sides[split][side]) if side in sides[split] else []
            paths[split] += found
            indices += [index] * len(found)
    return image_files_source(name, root, paths, class_labels(indices, SIDES, name, options, "side"), options)


def _split_folders(root: Path, folders: list[Path]) -> dict[str, Path]:
    """Split folders, if "train" is one that contains class folders (a class may also be called train)."""
    named = {SPLIT_NAMES[folder.name.casefold()]: folder for folder in folders if folder.name.casefold() in SPLIT_NAMES}
    train = named.get("train")
    if train is None or image_files(_files(train)) or not _folders(train):
        return {}
    for folder in folders:
        near = nearest(folder.name, SPLIT_NAMES)
        if folder not in named.values() and near and SPLIT_NAMES[near] not in named:
            raise UsageError(f"'{folder}' is not a split; did you mean '{near}'?")
    for folder in named.values():
        if image_files(_files(folder)):
            raise UsageError(
                f"'{folder}' holds images outside class folders, but those of '{train}' are in class folders"
            )
    return {split: named[split] for split in ORDER if split in named}


def _descend(root: Path) -> Path:
    while True:
        folders, files = _folders(root), _files(root)
        known = (*IMAGE_SUFFIXES, ".bin", ".gz")
        data = [path for path in files if is_table(path) or is_text(path) or path.suffix.casefold() in known]
        if len(folders) != 1 or data:
            return root
        inner = folders[0]
        within = _files(inner)
        classes = _folders(inner) and not image_files(within)
        texts = parallel_files(within) or (any(map(is_text, within)) and not image_files(within))
        if not (classes or texts or idx_pairs(inner) or cifar_batches(inner)):
            return root
        root = inner


def _unrecognised(root: Path, files: list[Path]) -> UsageError:
    if not files:
        return UsageError(f"the folder '{root}' is empty")
    archives = [path for path in files if is_archive(path) or path.suffix == ".npz"]
    if archives:
        return UsageError(f"'{root}' is a folder with an archive; did you mean '{archives[0]}'?")
    return UsageError(f"'{root}' holds nothing in a known format (first file: '{files[0].name}')")


def holds_runs(folder: Path) -> bool:
    """Whether a folder is a run, or holds runs and no images beside them: what training wrote is no data."""
    if _is_run(folder):
        return True
    runs, images = False, False
    for where, folders, files in os.walk(folder):
        if _is_run(Path(where)):
            runs, folders[:] = True, []
            continue
        folders[:] = [name for name in folders if _visible(name)]
        images = images or bool(image_files(Path(where, name) for name in files if _visible(name)))
    return runs and not images


def _is_run(folder: Path) -> bool:
    return (folder / "config.yaml").is_file() and (folder / "card.json").is_file()


def _visible(name: str) -> bool:
    return not name.startswith(".") and name.casefold() not in NO_DATA


def _folders(root: Path) -> list[Path]:
    """The folders in a folder that can hold data: hidden ones and those of runs cannot."""
    return sorted(path for path in root.iterdir() if _visible(path.name) and path.is_dir() and not holds_runs(path))


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if _visible(path.name) and path.is_file())
