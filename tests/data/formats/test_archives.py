"""Archives: extracted once and whole, or refused with nothing left behind."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lamina.data.formats.archives import cache_root, extract
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.errors import DataError

GIB = 2**30


def zipped(path: Path, root: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, Path("photos") / file.relative_to(root))
    return path


def tarred(path: Path, root: Path) -> Path:
    with tarfile.open(path, f"w:{path.suffix[1:]}" if path.suffix in (".gz", ".xz", ".bz2") else "w") as archive:
        archive.add(root, "photos")
    return path


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tar.gz", "set.tar.xz", "set.tar.bz2"])
def test_an_archive_is_the_folder_in_it(tmp_path: Path, image_folder: Callable[..., Path], name: str) -> None:
    root = image_folder({"a": 8, "b": 8})
    path = (zipped if name == "set.zip" else tarred)(tmp_path / name, root)
    source, folder = open_source(str(path)), open_source(str(root))
    assert source.spec.name == str(path)
    assert source.spec.classes == ("a", "b")
    assert source.spec.fingerprint == folder.spec.fingerprint
    # once: the second opening finds the first one's files
    place = extract(path, GIB)
    (place / "photos" / "a" / "0.png").unlink()
    assert extract(path, GIB) == place
    assert sum(open_source(str(path)).spec.sizes.values()) == 15
    os.utime(path, ns=(1, 1))  # another file under the same name
    assert extract(path, GIB) != place


def tar_with(path: Path, **fields: Any) -> Path:
    with tarfile.open(path, "w") as archive:
        good = tarfile.TarInfo("a/good.txt")
        good.size = 4
        archive.addfile(good, io.BytesIO(b"good"))
        member = tarfile.TarInfo(fields.pop("name"))
        content = fields.pop("content", b"")
        member.size = len(content)
        for key, value in fields.items():
            setattr(member, key, value)
        archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("member", "text"),
    [
        ({"name": "../evil.txt", "content": b"x"}, "leaves the folder"),
        ({"name": "a/../../evil.txt", "content": b"x"}, "leaves the folder"),
        ({"name": "/tmp/evil.txt", "content": b"x"}, "absolute"),
        ({"name": "evil.txt", "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "link or a device"),
        ({"name": "evil.txt", "type": tarfile.LNKTYPE, "linkname": "a/good.txt"}, "link or a device"),
        ({"name": "evil.txt", "type": tarfile.CHRTYPE}, "link or a device"),
        ({"name": "evil.txt", "type": tarfile.FIFOTYPE}, "link or a device"),
    ],
)
def test_a_hostile_tar_is_refused(tmp_path: Path, member: dict[str, Any], text: str, refused: Any) -> None:
    path = tar_with(tmp_path / "set.tar", **member)
    with refused(DataError, str(path), "evil.txt", text):
        open_source(str(path))
    assert not list(tmp_path.rglob("evil.txt"))
    assert not list((cache_root() / "archives").iterdir())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("../evil.txt", "leaves the folder"),
        ("a\\..\\..\\evil.txt", "leaves the folder"),
        ("/tmp/evil.txt", "absolute"),
        ("C:/evil.txt", "absolute"),
        ("link/evil.txt", "link or a device"),
    ],
)
def test_a_hostile_zip_is_refused(tmp_path: Path, name: str, text: str, refused: Any) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/good.txt", "good")
        member = zipfile.ZipInfo(name)
        if name.startswith("link"):
            member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    with refused(DataError, str(path), "evil.txt", text):
        open_source(str(path))
    assert not list(tmp_path.rglob("evil.txt"))
    assert not list((cache_root() / "archives").iterdir())


@pytest.mark.parametrize("name", ["set.zip", "set.tar.xz"])
def test_an_archive_that_inflates_too_far_is_refused(tmp_path: Path, name: str, refused: Any) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "zeros.bin").write_bytes(bytes(3_000_000))
    path = tmp_path / name
    if name == "set.zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(root / "zeros.bin", "zeros.bin")
    else:
        tarred(path, root)
    assert path.stat().st_size < 10_000
    with refused(DataError, str(path), "2000000 bytes", "zeros.bin"):
        open_source(str(path), options=DataOptions(max_extracted_bytes=2_000_000))
    assert not list((cache_root() / "archives").iterdir())
    assert (extract(path, 3_000_000)).is_dir()


def test_damaged_archives_name_the_file(tmp_path: Path, image_folder: Callable[..., Path], refused: Any) -> None:
    root = image_folder({"a": 8, "b": 8})
    for path in (zipped(tmp_path / "set.zip", root), tarred(tmp_path / "set.tar.xz", root)):
        whole = path.read_bytes()
        for content in (whole[: len(whole) // 2], b"", b"nothing like it"):
            path.write_bytes(content)
            with refused(DataError, f"'{path}'"):
                open_source(str(path))
    assert not list((cache_root() / "archives").iterdir())


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Any) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LAMINA_CACHE", str(tmp_path / "file"))
    with refused(DataError, "cache", str(tmp_path / "file")):
        open_source(str(tar_with(tmp_path / "set.tar", name="b", content=b"x")))
