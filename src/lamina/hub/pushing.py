"""A run pushed to the hub: one commit that holds it whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lamina.errors import DataError, LaminaError, UsageError
from lamina.hub.contents import contents, scrubbed
from lamina.hub.model_card import model_card
from lamina.runs.run import Run, open_run
from lamina.runs.weights import digest
from lamina.weights.hub import MAIN, RUN_FILES, SPELLING, endpoint, hub_library, hub_status, is_hub, quiet, reason_of


def push(
    run: Run | str | Path, to: str, *, licence: str | None = None, private: bool = False, message: str | None = None
) -> str:
    """Push a run to the hub, and return its spelling there, with the commit.

        lamina.push("runs/lenet5-digits", "hf:me/digits", licence="apache-2.0")  # "hf:me/digits@<commit>"

    The repository is made where there is none, ``private`` or not; ``to`` may name a branch, ``hf:me/digits@trial``.
    Pushed are the weights as safetensors, the preprocessing, the tokenizer, the configuration without the places of
    files on this machine, metrics and a model card; files of a run pushed before that this one has not are deleted.
    The token is that of ``hf auth login`` or HF_TOKEN.

    Raises UsageError for a spelling, and where the hub refuses; DataError where it cannot be reached or fails.
    """
    match = SPELLING.fullmatch(to) if is_hub(to) else None
    if match is None or match["inside"] or "/" not in match["repository"]:
        raise UsageError(f"'{to}' is not a repository of the hub: write hf:USER/NAME")
    repository, branch = match["repository"], match["revision"] or MAIN
    opened = run if isinstance(run, Run) else open_run(run)
    files = contents(opened)
    opens = f"hf:{repository}" + ("" if branch == MAIN else f"@{branch}")
    files["README.md"] = scrubbed(model_card(opened, opens, licence), opened).encode()
    text = message or f"{opened.config.name}, weights {digest(opened.directory.weights)[:12]}"
    try:
        with quiet():
            commit = _committed(repository, branch, files, private, text)
    except LaminaError:
        raise
    except Exception as error:  # the network and the library raise many kinds
        raise _refused(repository, error) from None
    return f"hf:{repository}@{commit}"


def _committed(repository: str, branch: str, files: dict[str, bytes | Path], private: bool, message: str) -> str:
    hub = hub_library()
    api = hub.HfApi(endpoint=endpoint())
    api.create_repo(repository, private=private or None, exist_ok=True, repo_type="model")
    if branch != MAIN:
        api.create_branch(repository, branch=branch, exist_ok=True)
    known = set(api.list_repo_files(repository, revision=branch))
    operations: list[Any] = [
        hub.CommitOperationAdd(name, content if isinstance(content, bytes) else str(content))
        for name, content in files.items()
    ]
    operations += [hub.CommitOperationDelete(name) for name in RUN_FILES if name in known and name not in files]
    done = api.create_commit(repository, operations, commit_message=message, revision=branch)
    return str(done.oid)


def _refused(repository: str, error: BaseException) -> LaminaError:
    """Why the hub did not take a run."""
    chain: BaseException | None = error
    while chain is not None and hub_status(chain) is None:
        chain = chain.__cause__
    status = None if chain is None else hub_status(chain)
    reason = reason_of(chain or error.__cause__ or error)
    if status in (401, 403):
        return UsageError(
            f"the hub does not let you push to '{repository}' ({status}): a token that may write there is needed "
            "(hf auth login, or HF_TOKEN)"
        )
    if status == 404:
        return UsageError(f"the hub has no '{repository}' to push to, or not for this token (404): {reason}")
    if status is not None and 400 <= status < 500:
        return UsageError(f"the hub refuses '{repository}' ({status}): {reason}")
    answer = f"answers {status}" if status is not None else "cannot be reached, or failed"
    return DataError(f"'{repository}' was not pushed: the hub {answer}: {reason}; nothing was changed there: run again")
