"""A folder for each class, of images or of texts, in splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lamina.data.formats.tree import Folder
from lamina.data.image.decoding import IMAGE_SUFFIXES
from lamina.data.image.files import image_files_source
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.spec import ORDER, SPLIT_NAMES
from lamina.data.targets.labels import PREDICTED, Labels, class_labels, same_name, unlabelled
from lamina.data.text.files import joined_files_source, text_files_source
from lamina.errors import DataError, UsageError, nearest

Splits = Mapping[str, Mapping[str, Folder]]
"""the class folders by name, by split"""
UNLABELLED = ("unsup", "unsupervised", "unlabeled", "unlabelled")
"""folders beside those of classes, of samples without a label, in lower case"""
LEAVES_OUT = "skip_bad (--skip-bad) leaves it out"


@dataclass(frozen=True)
class Content:
    """What class folders hold."""

    noun: str
    files: Callable[[Folder], list[Path]]
    source: Callable[[str, Path, Mapping[str, Sequence[Path]], Labels, DataOptions], Source]


IMAGES = Content("images", lambda folder: folder.images, image_files_source)
TEXTS = Content("texts", lambda folder: folder.texts, text_files_source)


def class_source(name: str, root: Folder, splits: Splits, options: DataOptions) -> Source:
    """A source of the images in class folders, or of the texts, if there are more of these. Class names are sorted.

    A folder of samples without a label ("unsup") is left out. With ``skip_bad`` so are empty class folders, and those
    of other splits that train does not have; otherwise they raise DataError. What is left out is listed in
    ``spec.skipped``. A single class has no targets, unless the task asks for them. Texts are joined to running text
    for language modelling. Raises UsageError for folders without data.
    """
    content = _content_of([folder for by_name in splits.values() for folder in by_name.values()])
    notes = _outside(root, splits, content)
    kept = {split: dict(by_name) for split, by_name in splits.items()}
    for split, by_name in kept.items():
        filled = [one for one, folder in by_name.items() if content.files(folder)]
        for one in [one for one in filled if one.casefold() in UNLABELLED] if len(filled) > 2 else []:
            notes.append(
                f"{split}, folder '{one}': {len(content.files(by_name.pop(one))):,} {content.noun} without a label"
            )
    train = kept["train"]
    if not any(content.files(folder) for folder in train.values()):
        known = ", ".join(sorted(IMAGE_SUFFIXES)[:6])
        where = next(iter(train.values())).path.parent if train else root.path
        raise UsageError(f"no images in the folders of '{where}' (files ending in {known}, ...), and no texts (.txt)")
    for one, folder in list(train.items()) if len(train) > 1 else []:
        if not content.files(folder):
            if not options.skip_bad:
                raise DataError(f"no {content.noun} in the class folder '{folder.path}'; {LEAVES_OUT}")
            notes.append(f"class folder '{one}': no {content.noun}")
            del train[one]
    classes = sorted(train)
    number = {same_name(one): k for k, one in enumerate(classes)}
    paths: dict[str, list[Path]] = {}
    indices: list[int] = []
    for split, by_name in kept.items():
        paths[split] = []
        for one in sorted(by_name):
            found = content.files(by_name[one])
            if found and same_name(one) not in number:
                what = f"class '{one}' is in '{by_name[one].path.parent.name}' but not in train"
                if not options.skip_bad:
                    near = nearest(one, classes)
                    raise DataError(f"{name}: {what}" + (f" ('{near}' is)" if near else "") + f"; {LEAVES_OUT}")
                notes.append(f"{what}: {len(found):,} {content.noun}")
                continue
            paths[split] += found
            indices += [number[same_name(one)]] * len(found)
        if not paths[split]:
            raise UsageError(f"no {content.noun} in the folders of '{root.path / split}'")
    if content is TEXTS and options.task == "language-modelling":
        source = joined_files_source(name, paths, options)
    elif len(classes) == 1 and options.task not in PREDICTED:
        hint = f"{name}: only one class ('{classes[0]}'), but targets need a folder for each class"
        source = content.source(name, root.path, paths, unlabelled(hint), options)
    else:
        source = content.source(name, root.path, paths, class_labels(indices, classes, name, options), options)
    return replace(source, spec=replace(source.spec, skipped=(*notes, *source.spec.skipped)))


def named_splits(folders: Sequence[Folder]) -> dict[str, Folder]:
    """The folders named as splits."""
    return {SPLIT_NAMES[folder.name.casefold()]: folder for folder in folders if folder.name.casefold() in SPLIT_NAMES}


def splits_within(root: Folder) -> Splits:
    """Class folders by split where each class has a folder for each split: cat/train, cat/test; empty otherwise."""
    classes = [folder for folder in root.folders if folder.images or folder.texts]
    found: dict[str, dict[str, Folder]] = {}
    for folder in classes:
        inner = named_splits(folder.folders)
        if "train" not in inner or len(inner) < max(2, len(folder.folders)) or folder.files:
            return {}
        for split, part in inner.items():
            found.setdefault(split, {})[folder.name] = part
    return {split: found[split] for split in ORDER if split in found}


def _content_of(folders: Sequence[Folder]) -> Content:
    """Texts, if they fill more of the folders than images do, and there are more of them: a README beside images is no
    sample, nor is a picture beside texts."""
    filled = {content.noun: [len(content.files(folder)) for folder in folders] for content in (IMAGES, TEXTS)}
    images, texts = filled["images"], filled["texts"]
    more = sum(map(bool, texts)) > sum(map(bool, images)) and sum(texts) > sum(images)
    return TEXTS if more else IMAGES


def _outside(root: Folder, splits: Splits, content: Content) -> list[str]:
    """Notes on files outside the class folders."""
    inside = {path for by_name in splits.values() for folder in by_name.values() for path in content.files(folder)}
    outside = [path for path in content.files(root) if path not in inside]
    if not outside:
        return []
    count = f"1 {content.noun.removesuffix('s')}" if len(outside) == 1 else f"{len(outside):,} {content.noun}"
    return [f"{count} outside the class folders, such as {outside[0].relative_to(root.path)}"]
