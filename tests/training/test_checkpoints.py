"""Checkpoints: whole or not there, data and nothing else, the one before always kept."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from toys import Log, assert_same_fit, classification, places, recall, resume, run

from lamina.errors import RunError
from lamina.files import write_whole
from lamina.training.checkpoints import Checkpoints, load_checkpoint
from lamina.training.events import Saved
from lamina.training.loop import fit

STATE = {"format": 1, "rows": 3, "w": torch.arange(12.0).reshape(3, 4), "n": {"a": [1, 2.5, None, True, "s", (1,)]}}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- writing


def test_a_checkpoint_reads_back_as_it_was(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path / "new" / "folder").save(7, STATE)
    assert path.name == "step-00000007.ckpt"
    state = load_checkpoint(path)
    assert torch.equal(state.pop("w"), STATE["w"])
    assert state == {name: value for name, value in STATE.items() if name != "w"}


def test_the_newest_and_the_one_before_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest() is None
    kept = []
    for step in (1, 2, 30, 99_999_999, 100_000_000):
        checkpoints.save(step, STATE)
        kept.append(names(tmp_path))
    assert kept[0] == ["step-00000001.ckpt"]
    assert kept[2] == ["step-00000002.ckpt", "step-00000030.ckpt"]
    assert checkpoints.paths() == [tmp_path / "step-99999999.ckpt", tmp_path / "step-100000000.ckpt"]
    assert checkpoints.latest() == tmp_path / "step-100000000.ckpt"


def test_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    for name in ("step-1.ckpt", "step-00000002.ckpt.bak", "step-0000000x.ckpt", ".step-00000009.ckpt.12.tmp"):
        (tmp_path / name).write_bytes(b"")
    assert Checkpoints(tmp_path).paths() == []


def test_no_partial_file_is_ever_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever the writer touches the disk, what carries the file's name is a whole checkpoint: the old or the new."""
    path = tmp_path / "step-00000001.ckpt"
    write_whole(path, lambda file: torch.save({"format": 1, "which": "old"}, file))
    order: list[str] = []
    real_replace, real_fsync = os.replace, os.fsync

    def fsync(number: int) -> None:
        order.append("folder" if os.path.isdir(f"/proc/self/fd/{number}") else "file")
        real_fsync(number)

    def replace(source: Any, target: Any) -> None:
        order.append("rename")
        assert Path(source).parent == path.parent  # a rename is atomic within a file system only
        assert load_checkpoint(Path(source))["which"] == "new"
        real_replace(source, target)

    def write(file: Any) -> None:
        torch.save({"format": 1, "which": "new"}, file)
        order.append("written")
        assert load_checkpoint(path)["which"] == "old"

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_whole(path, write)
    assert order == ["written", "file", "rename", "folder"]
    assert load_checkpoint(path)["which"] == "new"
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt(), RuntimeError("zip: no")]
)
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file"
    write_whole(path, lambda file: file.write(b"old"))

    def write(file: Any) -> None:
        file.write(b"ne")
        raise error

    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else RunError
    with pytest.raises(expected) as caught:
        write_whole(path, write)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]
    if expected is RunError:
        reason = error.strerror if isinstance(error, OSError) else "zip: no"
        assert str(caught.value) == f"cannot write {path}: {reason}; what was there before is unchanged"


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunError, match=r"^cannot make the folder .*file/below: Not a directory$"):
        Checkpoints(tmp_path / "file" / "below").save(1, STATE)


def test_stale_temporaries_are_removed_and_nothing_else(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, STATE)
    (tmp_path / ".step-00000002.ckpt.4711.tmp").write_bytes(b"half")
    (tmp_path / "notes.tmp").write_bytes(b"mine")
    checkpoints.remove_temporaries()
    assert names(tmp_path) == ["notes.tmp", "step-00000001.ckpt"]


class Pair(NamedTuple):
    hidden: torch.Tensor
    cell: torch.Tensor


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Pair(torch.zeros(1), torch.zeros(1)), "the test_checkpoints.Pair in engine/carry"),
        ([{"deep": (1, {2, 3})}], "the builtins.set in engine/carry/deep"),
        (Path("x"), "the pathlib.PosixPath in engine/carry"),
    ],
)
def test_what_could_not_be_read_back_is_refused_when_written(tmp_path: Path, value: Any, named: str) -> None:
    with pytest.raises(RunError, match=f"a checkpoint cannot hold {named}: only tensors, Python's own numbers"):
        Checkpoints(tmp_path).save(1, {"format": 1, "engine": {"carry": value}})
    assert names(tmp_path) == []


def test_all_that_is_accepted_can_be_read_back(tmp_path: Path) -> None:
    """Every state of a real fit, with an optimiser's own values and an LSTM's carry."""
    run(recall, tmp_path)
    state = load_checkpoint(Checkpoints(tmp_path).paths()[-1])
    assert state["rows"] == 2
    assert isinstance(state["engine"]["carried"][0]["carry"], tuple)


# ---------------------------------------------------------------- reading


class Payload:
    """What runs when a careless reader unpickles it."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (os.system, (f"touch {self.target}",))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_hostile_file_is_refused_and_not_executed(tmp_path: Path) -> None:
    target, path = tmp_path / "executed", tmp_path / "step-00000001.ckpt"
    for protocol, named in ((2, r" \(posix.system\)"), (4, "")):
        torch.save({"format": 1, "x": Payload(target)}, path, pickle_protocol=protocol)
        with pytest.raises(
            RunError, match=f"is refused: it holds something other than tensors and plain values{named}$"
        ):
            load_checkpoint(path)
    path.write_bytes(pickle.dumps(Payload(target)))
    with pytest.raises(RunError, match="is damaged"):
        load_checkpoint(path)
    assert not target.exists()
    pickle.loads(path.read_bytes())  # the payload is a real one
    assert target.exists()


@pytest.mark.parametrize("content", [b"", b"\0" * 1000, b"hello\n", b"PK\x03\x04", b"\x80\x02."], ids=repr)
def test_a_file_that_is_no_archive_is_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "step-00000001.ckpt"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"step-00000001\.ckpt is damaged") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_the_message_names_the_checkpoint_before(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, STATE)
    path = checkpoints.save(2, STATE)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RunError, match=r"delete it to continue from the one before, step-00000001.ckpt$"):
        load_checkpoint(path)
    Checkpoints(tmp_path).path(1).unlink()
    with pytest.raises(RunError, match=r"there is no earlier one$"):
        load_checkpoint(path)


def test_a_file_cut_short_anywhere_is_damaged(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path).save(1, STATE)
    whole = path.read_bytes()
    for length in range(0, len(whole), 53):
        path.write_bytes(whole[:length])
        with pytest.raises(RunError, match="is damaged"):
            load_checkpoint(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_flipped_bit_is_noticed_or_harmless(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path).save(1, STATE)
    whole, chance, noticed = path.read_bytes(), random.Random(0), 0
    for place in range(0, len(whole), 3):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << chance.randrange(8)
        path.write_bytes(spoilt)
        try:
            state = load_checkpoint(path)
        except RunError as error:
            noticed += 1
            assert "\n" not in str(error)  # noqa: PT017
        else:  # padding, or a field of the archive that nobody reads
            assert torch.equal(state["w"], STATE["w"])
            assert state["n"] == STATE["n"]
    assert noticed > 100
    with zipfile.ZipFile(Checkpoints(tmp_path).save(1, STATE)) as archive:
        info = next(info for info in archive.infolist() if info.filename.endswith("data/0"))
    place = whole.index(STATE["w"].numpy().tobytes())
    assert place > info.header_offset
    spoilt = bytearray(whole)
    spoilt[place + 20] ^= 1  # a weight, changed by a hair
    path.write_bytes(spoilt)
    with pytest.raises(RunError, match="is damaged \\(wrong checksum of"):
        load_checkpoint(path)


@pytest.mark.parametrize("state", [[1, 2], {"rows": 1}, {"format": 2, "rows": 1}], ids=str)
def test_a_file_of_another_format_says_so(tmp_path: Path, state: Any) -> None:
    path = tmp_path / "step-00000001.ckpt"
    torch.save(state, path)
    with pytest.raises(RunError, match="is not a checkpoint of this version of lamina"):
        load_checkpoint(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"^no such checkpoint: .*x.ckpt$"):
        load_checkpoint(tmp_path / "x.ckpt")
    with pytest.raises(RunError, match=r"^cannot read .*: Is a directory$"):
        load_checkpoint(tmp_path)


def test_a_damaged_checkpoint_is_deleted_and_training_goes_on_from_the_one_before(tmp_path: Path) -> None:
    def case() -> Any:
        return classification(epochs=2, checkpoint_every=3)

    whole = run(case)
    log, made = Log(), case()
    for event in fit(made.engine, made.streams, evaluate=made.evaluate, checkpoints=Checkpoints(tmp_path)):
        log.add(event)
        if isinstance(event, Saved) and event.step == 9:
            break
    newest = Checkpoints(tmp_path).paths()[-1]
    newest.write_bytes(newest.read_bytes()[:500])
    made = case()
    with pytest.raises(RunError, match=r"continue from the one before, step-00000007\.ckpt"):
        next(fit(made.engine, made.streams, checkpoints=Checkpoints(tmp_path), resume=True))
    newest.unlink()
    assert_same_fit(whole, resume(case, tmp_path, log))


# ---------------------------------------------------------------- a full disk


def test_a_full_disk_ends_training_clearly_and_the_earlier_checkpoint_resumes(tmp_path: Path) -> None:
    """A real failure of write(2), by a limit on the size of files, first while training and then while closing."""
    child = subprocess.run(
        [sys.executable, __file__, str(tmp_path / "loop"), str(tmp_path / "close")],
        cwd=Path(__file__).parent, capture_output=True, text=True,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    whole = run(classification_in_child)
    for folder, message in zip(("loop", "close"), child.stdout.splitlines(), strict=True):
        assert message.startswith("RunError: cannot write ")
        assert message.endswith("File too large; what was there before is unchanged")
        assert names(tmp_path / folder) == ["step-00000003.ckpt"]
        log = Log()
        resume(classification_in_child, tmp_path / folder, log)
        assert log.rows[-1] == whole[1].rows[-1]
        assert places(log.events).endswith(".")


def classification_in_child() -> Any:
    return classification(epochs=2, checkpoint_every=3)


def _fill_the_disk(folder: Path, *, close: bool) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    made = classification_in_child()
    events = fit(made.engine, made.streams, evaluate=made.evaluate, checkpoints=Checkpoints(folder))
    try:
        for event in events:
            if isinstance(event, Saved):
                size = event.path.stat().st_size
                resource.setrlimit(resource.RLIMIT_FSIZE, (size - 500, resource.RLIM_INFINITY))
            if close and made.engine.step == 4:
                events.close()
    except RunError as error:
        print(f"RunError: {error}")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


if __name__ == "__main__":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _fill_the_disk(Path(sys.argv[1]), close=False)
    _fill_the_disk(Path(sys.argv[2]), close=True)
