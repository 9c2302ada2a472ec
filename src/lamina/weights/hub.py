"""Weights of the Hugging Face hub, ``hf:<repository>@<revision>``: safetensors, checked against the hub's sums."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from lamina.errors import DataError, LaminaError, UsageError
from lamina.files import write_whole
from lamina.weights.shards import INDEX, shards_of

PREFIX = "hf:"
MAIN = "main"
SPELLING = re.compile(r"hf:(?P<repository>\w[\w.-]*(/\w[\w.-]*)?)(?P<inside>(/\w[\w.-]*)*)(@(?P<revision>\w[\w./-]*))?")
COMMIT = re.compile(r"[0-9a-f]{40}")
WEIGHTS = ("model.safetensors", f"model.safetensors{INDEX}")
"""the file of weights in a repository; where there is none of these, its only safetensors file"""
BESIDE = (
    "README.md", "config.json", "config.yaml", "card.json", "data.json", "preprocess.json", "tokenizer.json",
    "vocab.json", "merges.txt", "added_tokens.json", "tokenizer_config.json", "special_tokens_map.json",
)  # fmt: skip
"""small files that say how the weights are used"""
RUN_FILES = (
    "config.yaml", "card.json", "data.json", "preprocess.json", "tokenizer.json", "model.safetensors",
    "fitted.safetensors", "metrics.csv", "results.json", "status.json",
)  # fmt: skip
"""the files of a run, besides those of a preprocess of another package, which are JSON, too"""
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
TIMEOUT = 20.0
"""seconds to wait for an answer of the hub"""


@dataclass(frozen=True)
class HubWeights:
    """Weights of the hub that lie in the cache, checked."""

    repository: str
    inside: str
    """folder or file in the repository; empty: all of it"""
    revision: str
    """the commit"""
    path: Path
    """the file of weights, or the index of its shards"""
    licence: str
    """as the repository states it; empty where it does not"""
    notes: tuple[str, ...] = ()
    """what the user should read"""

    @property
    def spelling(self) -> str:
        """``hf:<repository>@<commit>``."""
        return f"{_name(self.repository, self.inside)}@{self.revision}"

    def __str__(self) -> str:
        licence = f"licence {self.licence}" if self.licence else "it states no licence"
        return f"{_name(self.repository, self.inside)}@{self.revision[:12]} ({licence})"


def is_hub(weights: str | Path) -> bool:
    """Whether weights are named by their place on the hub: ``is_hub("hf:timm/resnet18.a1_in1k")``."""
    return str(weights).startswith(PREFIX)


def same_place(weights: str, saved: str) -> bool:
    """Whether weights of the hub are those of a saved commit: of the same repository, and of no other commit."""
    given, known = SPELLING.fullmatch(weights), SPELLING.fullmatch(saved)
    if given is None or known is None or given.group("repository", "inside") != known.group("repository", "inside"):
        return False
    return not COMMIT.fullmatch(given["revision"] or "") or given["revision"] == known["revision"]


def located(weights: str | Path) -> Path:
    """The place of weights on the disk: a path itself, those of the hub in the cache, fetched where they are not there.

    Raises as ``fetch`` does.
    """
    return fetch(str(weights)).path if is_hub(weights) else Path(weights).expanduser()


def fetch(weights: str) -> HubWeights:
    """Weights of the hub, from the cache or downloaded into it, with the small files that say how they are used.

        fetch("hf:timm/resnet18.a1_in1k@main").spelling   # "hf:timm/resnet18.a1_in1k@<commit>"

    Without a revision that of the branch ``main`` is meant. A commit that is in the cache needs no network; of a branch
    or tag the hub is asked, and where it cannot be reached, or offline mode is set, the cache's last is taken, with a
    note. Nothing but safetensors is taken, and every file is compared with the sum that the hub states for it.

    Raises UsageError for a spelling, repository, revision or file that does not exist or may not be read, and for a
    repository of pickles; DataError where the hub cannot be reached and the cache has not got them, and for files that
    are not what the hub lists.
    """
    match = SPELLING.fullmatch(weights)
    if match is None:
        raise UsageError(f"'{weights}' is not a place on the hub: write hf:<repository>@<revision>")
    place = _Place(match["repository"], match["inside"].lstrip("/"), match["revision"] or MAIN, _cache())
    if COMMIT.fullmatch(place.revision) and (held := _held(place, place.revision)) is not None:
        return held
    if _offline():
        return _from_cache(place, "offline mode is set (HF_HUB_OFFLINE)")
    return _asked(place)


@dataclass(frozen=True)
class _Place:
    repository: str
    inside: str
    revision: str
    cache: Path

    @property
    def folder(self) -> Path:
        """What the cache has of the repository."""
        return self.cache / f"models--{self.repository.replace('/', '--')}"

    @property
    def name(self) -> str:
        return f"{_name(self.repository, self.inside)}@{self.revision}"

    @property
    def ref(self) -> Path:
        """The file that holds the commit which a branch or tag had last."""
        return self.folder / "refs" / self.revision

    def snapshot(self, commit: str) -> Path:
        return self.folder / "snapshots" / commit


def _name(repository: str, inside: str) -> str:
    return f"{PREFIX}{repository}{f'/{inside}' if inside else ''}"


def _asked(place: _Place) -> HubWeights:
    """Ask the hub for the commit, and fetch the files that are not in the cache."""
    hub, errors = _library()
    api = hub.HfApi(endpoint=endpoint())
    try:
        info = api.model_info(place.repository, revision=place.revision, timeout=TIMEOUT)
        commit = str(info.sha)
        if info.siblings is not None:
            names = [sibling.rfilename for sibling in info.siblings]
        else:
            names = list(api.list_repo_files(place.repository, revision=commit))
    except errors.RevisionNotFoundError:
        raise UsageError(f"{place.repository} of the hub has no revision '{place.revision}'") from None
    except errors.GatedRepoError:
        raise UsageError(f"{place.repository} of the hub is gated: {_ask_for_access()}") from None
    except errors.RepositoryNotFoundError as error:
        raise UsageError(_no_repository(place.repository, hub_status(error))) from None
    except Exception as error:  # the network and the library raise many kinds
        if hub_status(error) in (401, 403):
            raise UsageError(_no_repository(place.repository, hub_status(error))) from None
        return _from_cache(place, f"the hub cannot be reached ({reason_of(error)})")
    known = _last_commit(place)
    chosen = _chosen(place, names)
    folder = PurePosixPath(chosen).parent
    beside = [str(folder / name) for name in _beside(folder, names) if str(folder / name) in names]
    readme = [name for name in ("README.md",) if name in names]
    _download(place, commit, [*readme, *beside, chosen], errors)
    if chosen.endswith(INDEX):
        _download(place, commit, [str(folder / shard) for shard in _shards(place.snapshot(commit) / chosen)], errors)
    if commit != place.revision:
        write_whole(_made(place.ref), lambda file: file.write(commit.encode()))
    held = _held(place, commit)
    if held is None:
        raise DataError(f"{place.name} has changed while it was read: run again")
    moved = known not in (None, commit) and place.revision != commit
    notes = (f"'{place.revision}' of {place.repository} has moved from {known} to {commit}",) if moved else ()
    return HubWeights(**{**vars(held), "notes": notes})


def _beside(folder: PurePosixPath, names: Sequence[str]) -> list[str]:
    """The names of small files that say how weights are used; beside those of a run all that belongs to it."""
    if not all(str(folder / name) in names for name in ("config.yaml", "preprocess.json")):
        return list(BESIDE)
    here = [PurePosixPath(name) for name in names]
    own = [path.name for path in here if path.parent == folder and path.suffix == ".json"]
    return list(dict.fromkeys((*BESIDE, *RUN_FILES[:5], *RUN_FILES[6:], *own)))


def fetch_run(spelling: str) -> Path:
    """The folder of a run of the hub, in the cache: ``fetch_run("hf:me/digits@main")``; every file is checked.

    Raises as ``fetch`` does, and UsageError for a repository that holds no run.
    """
    found = fetch(spelling)
    folder = found.path.parent
    if found.path.name != WEIGHTS[0] or not (folder / "config.yaml").is_file():
        raise UsageError(
            f"{found.spelling} holds weights, but no run of Lamina: --weights {spelling} takes them for a model"
        )
    place = _Place(found.repository, found.inside, found.revision, _cache())
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            _check(place, path)
    return folder


def _held(place: _Place, commit: str) -> HubWeights | None:
    """What the cache has of a commit, checked; None where it has not all of it."""
    snapshot = place.snapshot(commit)
    if not snapshot.is_dir():
        return None
    names = [path.relative_to(snapshot).as_posix() for path in sorted(snapshot.rglob("*")) if path.is_file()]
    try:
        chosen = _chosen(place, names)
        path = snapshot / chosen
        parts = [path.parent / shard for shard in _shards(path)] if chosen.endswith(INDEX) else []
    except LaminaError:
        return None
    if not all(part.is_file() for part in parts):
        return None
    for part in (path, *parts):
        _check(place, part)
    licence = _licence(*(path.parent / "README.md", snapshot / "README.md"))
    return HubWeights(place.repository, place.inside, commit, path, licence)


def _from_cache(place: _Place, reason: str) -> HubWeights:
    """The last commit that the cache has of a revision. Raises DataError without one."""
    commit = place.revision if COMMIT.fullmatch(place.revision) else _last_commit(place)
    held = None if commit is None else _held(place, commit)
    if held is None:
        where = f"{endpoint() or _constants().ENDPOINT}/{place.repository}/resolve/{place.revision}/{WEIGHTS[0]}"
        raise DataError(
            f"{place.name} is not in the cache, and {reason}: download {where} on a machine with a network and give "
            f"its path as the weights (--weights FILE), or put the folder {place.folder.name} of that machine's cache "
            f"into {place.cache}"
        )
    return HubWeights(**{**vars(held), "notes": (f"{reason}: {place.name} is the cache's, {commit}",)})


def _chosen(place: _Place, names: Sequence[str]) -> str:
    """The file of weights among the names of a repository's files. Raises UsageError where there is none."""
    if place.inside in names:
        if not place.inside.endswith((".safetensors", INDEX)):
            raise UsageError(f"{place.name} is no safetensors file: {_only_safetensors(place.inside)}")
        return place.inside
    under = f"{place.inside}/" if place.inside else ""
    here = [name.removeprefix(under) for name in names if name.startswith(under)]
    if not here:
        raise UsageError(f"{place.repository} has no file or folder '{place.inside}'")
    for name in WEIGHTS:
        if name in here:
            return f"{under}{name}"
    found = [name for name in here if name.endswith(".safetensors")]
    found = [name for name in found if "/" not in name] or found
    if len(found) == 1:
        return f"{under}{found[0]}"
    if found:
        shown = ", ".join(sorted(found)[:5])
        raise UsageError(f"{place.name} holds several files of weights: name one after the repository: {shown}")
    pickles = [name for name in here if name.endswith(PICKLES)]
    if pickles:
        raise UsageError(f"{place.name} holds no safetensors, only {pickles[0]}: {_only_safetensors(pickles[0])}")
    raise UsageError(f"{place.name} holds no weights: it has {', '.join(sorted(here)[:5])}")


def _only_safetensors(name: str) -> str:
    return (
        f"a pickle may hold code, and is not taken from the hub; name a revision with safetensors, or download {name} "
        "and give its path"
    )


def _shards(index: Path) -> list[str]:
    """The names of the shards that an index lists. Raises DataError."""
    import json

    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return sorted({path.name for path in shards_of(index).values()})  # which says what is wrong
    if any(Path(name).name != name or not name.endswith(".safetensors") for name in names):
        raise DataError(f"{index} names files that are no safetensors beside it")
    return sorted(names)


def _download(place: _Place, commit: str, names: Iterable[str], errors: Any) -> None:
    hub = _library()[0]
    for name in names:
        try:
            with quiet():
                path = hub.hf_hub_download(
                    place.repository, name, revision=commit, cache_dir=place.cache, endpoint=endpoint()
                )
        except errors.EntryNotFoundError as error:
            if not isinstance(error, FileNotFoundError):  # that is the library's word for "not reached"
                raise DataError(f"the hub lists {name} of {place.name}, but does not have it: run again") from None
            raise _not_downloaded(place, name, error.__cause__ or error) from None
        except Exception as error:
            raise _not_downloaded(place, name, error) from None
        _check(place, Path(path))


def _not_downloaded(place: _Place, name: str, error: BaseException) -> LaminaError:
    if hub_status(error) in (401, 403):
        return UsageError(f"{name} of {place.name} may not be read: {_ask_for_access()}")
    return DataError(f"{name} of {place.name} could not be downloaded: {reason_of(error)}; run again")


def _check(place: _Place, path: Path) -> None:
    """Raise DataError, and take the file out of the cache, where its content has not the sum that the hub states.

    The cache names each content by the hub's etag: the SHA-256 of a large file, git's own sum of a small one.
    """
    content = path.resolve()
    stated = content.name if content.name != path.name else _stated(place, path)
    facts = content.stat()
    measured = _sum(content, facts.st_mtime_ns, facts.st_size, "sha256" if len(stated) == 64 else "git")
    if measured != stated:
        for one in (path, content):
            one.unlink(missing_ok=True)
        kind = "sha256" if len(stated) == 64 else "sum"
        raise DataError(
            f"{path.name} of {place.name} is not what the hub lists: its {kind} is {measured}, the hub's {stated}; "
            "it was taken out of the cache: run again"
        )


def _stated(place: _Place, path: Path) -> str:
    """The hub's sum of a file, of a cache without links."""
    commit, *inside = path.relative_to(place.folder / "snapshots").parts
    hub = _library()[0]
    url = hub.hf_hub_url(place.repository, "/".join(inside), revision=commit, endpoint=endpoint())
    try:
        return str(hub.get_hf_file_metadata(url).etag)
    except Exception as error:
        raise DataError(f"{path} cannot be checked: the hub's sum is not known ({reason_of(error)})") from None


@lru_cache(maxsize=64)
def _sum(path: Path, modified: int, size: int, kind: str) -> str:
    """The SHA-256 of a file, or the sum that git names it by."""
    with path.open("rb") as file:
        if kind == "sha256":
            return hashlib.file_digest(file, "sha256").hexdigest()
        whole = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
        while chunk := file.read(2**20):
            whole.update(chunk)
    return whole.hexdigest()


def _licence(*readmes: Path) -> str:
    """What the head of a model card states."""
    import yaml

    for readme in readmes:
        try:
            _, head, _ = readme.read_text(encoding="utf-8").split("---\n", 2)
            stated = yaml.safe_load(head)
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(stated, dict) and stated.get("license"):
            found = stated["license"]
            name = stated.get("license_name")
            return f"{found} ({name})" if name else ", ".join(found) if isinstance(found, list) else str(found)
    return ""


def _last_commit(place: _Place) -> str | None:
    """The commit that the cache knows of a branch or tag."""
    try:
        return place.ref.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def _no_repository(repository: str, status: int | None) -> str:
    if status == 404:
        return f"the hub has no repository '{repository}', or it is private: {_ask_for_access()}"
    return f"the hub answers {status} for '{repository}': it does not exist, is private, or {_ask_for_access()}"


def _ask_for_access() -> str:
    return "a token with access to it is needed (hf auth login, or HF_TOKEN)"


def hub_status(error: BaseException) -> int | None:
    found = getattr(getattr(error, "response", None), "status_code", None)
    return found if isinstance(found, int) else None


def reason_of(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _library() -> tuple[Any, Any]:
    """``huggingface_hub``, and its errors. Raises UsageError where it is not installed."""
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise UsageError("weights of the hub need huggingface_hub: pip install lamina[hub]") from error
    return huggingface_hub, errors


def hub_library() -> Any:
    """``huggingface_hub``. Raises UsageError where it is not installed."""
    return _library()[0]


def _constants() -> Any:
    from huggingface_hub import constants

    return constants


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bar where stderr is no terminal."""
    from huggingface_hub import utils

    change = not sys.stderr.isatty() and not utils.are_progress_bars_disabled()
    if change:
        utils.disable_progress_bars()
    try:
        yield
    finally:
        if change:
            utils.enable_progress_bars()


def endpoint() -> str | None:
    """The hub's address, where the environment names another now than when the library was imported."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def _offline() -> bool:
    _library()
    named = os.environ.get("HF_HUB_OFFLINE", os.environ.get("TRANSFORMERS_OFFLINE"))
    return bool(_constants().HF_HUB_OFFLINE) if named is None else named.upper() in {"1", "ON", "YES", "TRUE"}


def _cache() -> Path:
    """The folder that the hub's library keeps repositories in."""
    _library()
    named, home = os.environ.get("HF_HUB_CACHE"), os.environ.get("HF_HOME")
    place = named or (os.path.join(home, "hub") if home else _constants().HF_HUB_CACHE)
    return Path(os.path.expandvars(place)).expanduser()
