"""MNIST's and CIFAR-10's own formats, whole, damaged and hostile."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamina.data.formats.safe_pickle import load_pickle
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.errors import DataError, UsageError

WHOLE = DataOptions(validation=0, test=0)


def idx(array: np.ndarray[Any, Any]) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def mnist(folder: Path, *, packed: bool = True, dotted: bool = False) -> tuple[np.ndarray[Any, Any], ...]:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (count, 6, 5), dtype=np.uint8) for count in (40, 10))
    labels, test_labels = np.arange(40, dtype=np.uint8) % 10, np.arange(10, dtype=np.uint8)
    for name, array in {
        "train-images-idx3-ubyte": train,
        "train-labels-idx1-ubyte": labels,
        "t10k-images-idx3-ubyte": test,
        "t10k-labels-idx1-ubyte": test_labels,
    }.items():
        name = name.replace("-idx", ".idx") if dotted else name
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (folder / name).write_bytes(idx(array))
    return train, labels, test


@pytest.mark.parametrize(("packed", "dotted"), [(True, False), (False, False), (False, True)])
def test_idx_pairs(tmp_path: Path, packed: bool, dotted: bool) -> None:
    train, labels, test = mnist(tmp_path / "set", packed=packed, dotted=dotted)
    source = open_source(str(tmp_path / "set"), options=WHOLE)
    assert source.spec.classes == tuple("0123456789")
    assert (source.spec.channels, source.spec.height, source.spec.width) == (1, 6, 5)
    assert np.array_equal(source.splits["train"].images_NCHW[:, 0].numpy(), train)  # type: ignore[union-attr]
    assert source.splits["train"].targets.tolist() == labels.tolist()
    assert np.array_equal(source.splits["test"].images_NCHW[:, 0].numpy(), test)  # type: ignore[union-attr]
    (tmp_path / "set" / "t10k").mkdir()
    assert dict(open_source(str(tmp_path / "set")).spec.sizes) == {"train": 36, "validation": 4, "test": 10}


def test_idx_with_faults(tmp_path: Path, refused: Any) -> None:
    folder = tmp_path / "set"
    mnist(folder)
    images = folder / "train-images-idx3-ubyte.gz"
    whole = images.read_bytes()
    raw = gzip.decompress(whole)
    for content, text in (
        (whole[: len(whole) // 2], "cannot read"),
        (b"not gzip at all", "cannot read"),
        (gzip.compress(raw[:-5]), "truncated"),
        (gzip.compress(raw + b"x"), "too long"),
        (gzip.compress(b"\0\0\x0d\3" + raw[4:]), "not an idx file of unsigned bytes"),
        (gzip.compress(raw[:4] + struct.pack(">3I", 2**31, 2**20, 2**20) + raw[16:]), "truncated"),
        (b"", "not an idx file"),
    ):
        images.write_bytes(content)
        with refused(DataError, str(images), text):
            open_source(str(folder))
    images.write_bytes(gzip.compress(idx(np.zeros((39, 6, 5), dtype=np.uint8))))
    with refused(DataError, "39 images", "40 labels"):
        open_source(str(folder))
    (folder / "train-labels-idx1-ubyte.gz").unlink()
    with refused(UsageError, "train-labels-idx1-ubyte"):
        open_source(str(folder))


def cifar(count: int, seed: int) -> tuple[np.ndarray[Any, Any], list[int]]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 3072), dtype=np.uint8), [int(k) for k in np.arange(count) % 10]


NAMES = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def test_cifar_binary(tmp_path: Path, refused: Any) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    parts = []
    for name, seed in (("data_batch_2", 2), ("data_batch_10", 10), ("data_batch_1", 1), ("test_batch", 3)):
        pixels, labels = cifar(20, seed)
        parts.append(pixels)
        np.concatenate([np.array(labels, dtype=np.uint8)[:, None], pixels], 1).tofile(folder / f"{name}.bin")
    (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    source = open_source(str(tmp_path), options=WHOLE)  # the folder one down
    images = source.splits["train"].images_NCHW  # type: ignore[union-attr]
    expected = np.concatenate([parts[2], parts[0], parts[1]]).reshape(-1, 3, 32, 32)
    assert np.array_equal(images.numpy(), expected)
    assert source.spec.classes == tuple(NAMES)
    assert dict(source.spec.sizes) == {"train": 60, "test": 20}
    broken = folder / "data_batch_2.bin"
    broken.write_bytes(broken.read_bytes()[:-1])
    with refused(DataError, str(broken), "3073 bytes"):
        open_source(str(folder))
    broken.write_bytes(bytes([11]) + bytes(3072))
    with refused(DataError, str(broken), "label 11"):
        open_source(str(folder))


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_cifar_python_batches(tmp_path: Path, protocol: int) -> None:
    pixels, labels = cifar(30, 1)
    batch = {
        b"data": pixels,
        b"labels": labels,
        b"batch_label": b"training batch 1 of 1",
        b"filenames": [b"a.png"] * 30,
    }
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(batch, protocol=protocol))
    (tmp_path / "batches.meta").write_bytes(pickle.dumps({"label_names": NAMES}, protocol=protocol))
    source = open_source(str(tmp_path), options=WHOLE)
    assert np.array_equal(source.splits["train"].images_NCHW.flatten(1).numpy(), pixels)  # type: ignore[union-attr]
    assert source.splits["train"].targets.tolist() == labels
    assert source.spec.classes == tuple(NAMES)


def test_the_pickle_of_python_2_in_which_cifar_was_published(tmp_path: Path) -> None:
    # what Python 2's cPickle wrote: texts as byte strings (U), numpy's old module path
    raw = bytes(range(6))
    text = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05"
        b"(K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x06"
        + raw
        + b"tbU\x06labels]q\x08(K\x00K\x01eu."
    )
    path = tmp_path / "batch"
    path.write_bytes(text)
    found = load_pickle(path)
    assert np.array_equal(found[b"data"], np.arange(6, dtype=np.uint8).reshape(2, 3))
    assert found[b"labels"] == [0, 1]


def test_arrays_of_every_kind_come_back(tmp_path: Path) -> None:
    for array in (np.arange(6, dtype=">i4").reshape(2, 3), np.asfortranarray(np.eye(3)), np.zeros((0, 2), np.float32)):
        for protocol in (2, 4, 5):
            (tmp_path / "a").write_bytes(pickle.dumps([array, ("x", b"y", None, 1.5)], protocol=protocol))
            found, rest = load_pickle(tmp_path / "a")
            assert np.array_equal(found, array)
            assert rest == ("x", b"y", None, 1.5)


class Payload:
    """A pickle of this makes a file when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_hostile_pickle_is_refused_and_never_run(tmp_path: Path, protocol: int, refused: Any) -> None:
    import builtins
    import os

    made = tmp_path / "made"
    attacks = {
        "mkdir": Payload(os.mkdir, str(made)),
        "exec": Payload(builtins.exec, f"open({str(made)!r}, 'w')"),
        "getattr": Payload(builtins.getattr, os, "system") if protocol == 5 else Payload(builtins.getattr, 1, "real"),
        "object": {b"data": np.array([Payload(os.mkdir, str(made))], dtype=object), b"labels": [0]},
    }
    for name, attack in attacks.items():
        path = tmp_path / "data_batch_1"
        try:
            path.write_bytes(pickle.dumps(attack, protocol=protocol))
        except TypeError:  # a module cannot be pickled at all
            continue
        with refused(DataError, str(path), {"mkdir": "mkdir", "exec": ".exec"}.get(name, "is refused")):
            open_source(str(tmp_path))
        assert not made.exists()
    path.write_bytes(pickle.dumps(Payload(os.mkdir, str(made)), protocol=protocol))
    pickle.loads(path.read_bytes())
    assert made.exists()  # the attack is a real one


def test_batches_that_are_no_batches(tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "data_batch_1"
    pixels, labels = cifar(12, 0)
    for content, text in (
        (b"garbage", "not a readable pickle"),
        (pickle.dumps([1, 2]), "no dictionary"),
        (pickle.dumps({b"data": pixels[:, :9], b"labels": labels}), "(N, 3072)"),
        (pickle.dumps({b"data": pixels, b"labels": labels[:5]}), "12 integers"),
        (pickle.dumps({b"data": pixels, b"labels": [*labels[:-1], 10]}), "label 10"),
    ):
        path.write_bytes(content)
        with refused(DataError, str(path), text):
            open_source(str(tmp_path))
