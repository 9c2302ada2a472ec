"""Folders of tar shards of images (as of WebDataset): read where they lie, never extracted.

Labels are in members beside the images (``0001.jpg`` and ``0001.cls``, or ``0001.json`` with a label), or the folders
inside the shards. Splits are in the names of shards (``train-0003.tar``), of their folders, or of folders inside them.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from lamina.data.formats.numbered import expect_all
from lamina.data.formats.tree import Folder
from lamina.data.image.decoding import IMAGE_SUFFIXES, ImageFile, ShardMember
from lamina.data.image.files import image_files_source
from lamina.data.image.index import indexed_members
from lamina.data.options import DataOptions
from lamina.data.source import Source
from lamina.data.spec import ORDER, SPLIT_NAMES
from lamina.data.targets.labels import USUAL_NAMES, class_labels, unlabelled
from lamina.errors import DataError

COMPRESSED = (".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
BLOCK = 512
LABEL_KEYS = ("cls", *USUAL_NAMES)
"""keys of a label in a member's JSON"""


def tar_shards(root: Folder) -> list[Path]:
    """The shards of a folder, or of its folders of splits: two or more tar files and no other data; empty otherwise."""
    files = [path for path in root.every() if not path.name.casefold().startswith(("readme", "licen"))]
    shards = [path for path in files if path.name.casefold().endswith((".tar", *COMPRESSED))]
    flat = all(folder.name.casefold() in SPLIT_NAMES and not folder.folders for folder in root.folders)
    notes = {".json", ".txt", ".md", ".yaml", ".idx"}
    others = [path for path in files if path not in shards and path.suffix.casefold() not in notes]
    return shards if len(shards) > 1 and flat and not others else []


def open_shards(name: str, root: Path, shards: Sequence[Path], options: DataOptions) -> Source:
    """The images in shards. Only the headers of the tar files are read, with an index not even these.

    Raises DataError for a shard that is missing from a numbered series, cut off or compressed, and for an image without
    a label beside others that have one.
    """
    expect_all(shards, options)
    members = indexed_members(root, shards)
    if members is None:
        members = [member for shard in shards for member in read_members(shard)]
    by_split: dict[str, list[ShardMember]] = {}
    for member in members:
        by_split.setdefault(_split_of(member, root), []).append(member)
    if not members:
        raise DataError(f"{name}: no images in its {len(shards)} shards (members ending in .jpg, .png, ...)")
    if "train" not in by_split:
        raise DataError(f"{name}: no shard of train among {', '.join(by_split)}")
    ordered: dict[str, list[ImageFile]] = {split: list(by_split[split]) for split in ORDER if split in by_split}
    every = [member for split in ordered for member in by_split[split]]
    if all(member.label is None for member in every):
        labels = unlabelled(f"{name}: its images have no labels (0001.cls beside 0001.jpg, or a folder for each class)")
        return image_files_source(name, root, ordered, labels, options)
    if alone := next((member for member in every if member.label is None), None):
        raise DataError(f"{alone} has no label, others have one")
    classes = sorted({str(member.label) for member in every}, key=_in_order)
    number = {one: k for k, one in enumerate(classes)}
    indices = [number[str(member.label)] for member in every]
    return image_files_source(name, root, ordered, class_labels(indices, classes, name, options), options)


def read_members(shard: Path) -> list[ShardMember]:
    """The images of a shard, in its order, from the headers of its members. Raises DataError for one that is cut off or
    compressed."""
    if shard.name.casefold().endswith(COMPRESSED):
        raise DataError(
            f"the shard '{shard}' is compressed, so that its images cannot be read where they lie: unpack it"
        )
    found: list[ShardMember] = []
    labels: dict[str, str] = {}
    size = shard.stat().st_size
    try:
        with tarfile.open(shard, "r:") as archive:
            end = 0
            for member in archive:
                end = member.offset_data + -(-member.size // BLOCK) * BLOCK if member.isfile() else member.offset_data
                if not member.isfile():
                    continue
                if member.offset_data + member.size > size:
                    raise _cut_off(shard, size, f"inside '{member.name}'")
                key, suffix = _key(member.name)
                if suffix in IMAGE_SUFFIXES:
                    found.append(ShardMember(shard, member.name, member.offset_data, member.size))
                elif suffix in (".cls", ".json") and (file := archive.extractfile(member)) is not None:
                    labels.update((key, label) for label in _label(file.read(), suffix))
    except tarfile.TarError as error:
        raise DataError(f"the shard '{shard}' is damaged: {error}") from None
    if size < end + 2 * BLOCK:
        raise _cut_off(shard, size, "it has no end mark")
    return [replace(member, label=labels.get(_key(member.name)[0], _folder(member.name))) for member in found]


def _cut_off(shard: Path, size: int, where: str) -> DataError:
    return DataError(f"the shard '{shard}' is cut off after {size:,} bytes: {where}")


def _key(name: str) -> tuple[str, str]:
    """What members of one sample share, and the last suffix: of "a/01.seg.png" "a/01" and ".png"."""
    path = PurePosixPath(name)
    return f"{path.parent}/{path.name.split('.')[0]}", path.suffix.casefold()


def _label(content: bytes, suffix: str) -> list[str]:
    """The label in a member beside an image, if it has one."""
    text = content.decode("utf-8", "replace").strip()
    if suffix == ".cls":
        return [text] if text else []
    try:
        facts = json.loads(text)
    except ValueError:
        return []
    values = [facts[key] for key in LABEL_KEYS if key in facts] if isinstance(facts, dict) else []
    return [str(value) for value in values[:1] if isinstance(value, str | int)]


def _folder(name: str) -> str | None:
    """The folder inside a shard that an image is in, if it is no split."""
    parts = [part for part in PurePosixPath(name).parts[:-1] if part != "."]
    return None if not parts or (len(parts) == 1 and parts[0].casefold() in SPLIT_NAMES) else parts[-1]


def _split_of(member: ShardMember, root: Path) -> str:
    inside = [part.casefold() for part in PurePosixPath(member.name).parts[:-1]]
    if inside and inside[0] in SPLIT_NAMES:
        return SPLIT_NAMES[inside[0]]
    above = member.shard.parent.name.casefold()
    if member.shard.parent != root and above in SPLIT_NAMES:
        return SPLIT_NAMES[above]
    words = {SPLIT_NAMES[word] for word in re.split(r"[._\s-]+", member.shard.name.casefold()) if word in SPLIT_NAMES}
    return words.pop() if len(words) == 1 else "train"


def _in_order(name: str) -> tuple[int, int, str]:
    """Numbers by value, then texts."""
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)
