"""The processes of a training: what they tell each other, which of them is gone, and that all end with one error.

They talk through the store of torch.distributed, from a thread of their own, so that a process which waits in a
collective call, or does not answer at all, is seen by the others.
"""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from subprocess import Popen
from typing import Any

from lamina.errors import LaminaError, RunError, UsageError
from lamina.options.launcher import launcher

BEAT = 1.0
"""seconds between two signs of life"""
SILENT = 4.0
"""seconds without one after which, once a collective call has failed, a process is gone"""
LINGER = 15.0
"""seconds that a process has to end by itself once another is known to have failed"""


class Processes:
    """This process among those of a training.

    Example: ``current().gather({"host": "a"})`` is ``[{"host": "a"}, {"host": "b"}]`` in both of two processes.
    """

    def __init__(
        self,
        store: Any,
        rank: int,
        world: int,
        *,
        local_world: int = 1,
        timeout: float = 300.0,
        children: Sequence[Popen[bytes]] = (),
    ) -> None:
        self.rank, self.world, self.timeout = rank, world, timeout
        self._nodes = [one // local_world for one in range(world)]
        self._hosts = [f"machine {node}" for node in self._nodes]
        self._hosts[rank] = socket.gethostname()
        self._store = store
        self._children = list(children)
        self._parent = os.getppid()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._outbox: dict[str, str] = {}
        self._wanted: list[tuple[str, ...]] = []
        self._inbox: dict[str, str] = {}
        self._beats: dict[int, bytes] = {}
        self._beaten = 0.0
        self._heard = dict.fromkeys(range(world), time.monotonic())
        self._reached = time.monotonic()
        self._ended = False
        self._turn = 0
        self._failed_at: float | None = None
        self.stands: Callable[[], str] | None = None
        """what is left of the training where a process is gone, in words"""
        self._thread = threading.Thread(target=self._watch, name="lamina-processes", daemon=True)
        if world > 1:
            self._thread.start()

    # ---------------------------------------------------------------- talking

    def meet(self) -> None:
        """All processes learn on which machine each is. Raises RunError where one does not come."""
        self._hosts = self.gather(self._hosts[self.rank])

    def gather(self, value: Any) -> list[Any]:
        """A plain value of each process, by rank. It waits as long as the others are alive.

        Raises LaminaError where one of them has failed, or is silent for longer than the timeout.
        """
        if self.world == 1:
            return [value]
        self._turn += 1
        keys = [f"turn/{self._turn}/{rank}" for rank in range(self.world)]
        self._ask({keys[self.rank]: json.dumps(value)}, [tuple(keys)])
        while True:
            with self._lock:
                if all(key in self._inbox for key in keys):
                    return [json.loads(self._inbox.pop(key)) for key in keys]
            if (failure := self._failure()) is not None:
                raise self._over(self._error_of(failure))
            if (lost := self._lost(self.timeout)) is not None:
                raise self._over(self._error_of(self._publish("", lost, 1)))
            time.sleep(0.01)

    def _ask(self, outbox: Mapping[str, str], wanted: Sequence[tuple[str, ...]]) -> None:
        """Say something, and ask for groups of keys; each group is heard once it is complete."""
        with self._lock:
            self._outbox.update(outbox)
            self._wanted += wanted
        self._wake.set()

    def agree(self, error: Exception | None, facts: Mapping[str, str]) -> None:
        """Raise the same error in all processes where one has an error, or other ``facts`` than the first."""
        if self.world == 1:
            if error is not None:
                raise error
            return
        mine = None if error is None else _outcome(error)
        gathered = self.gather({"error": mine, "facts": dict(facts)})
        failed = {rank: one["error"] for rank, one in enumerate(gathered) if one["error"] is not None}
        if failed:
            first, (what, code) = next(iter(failed.items()))
            same = len(failed) == self.world and all(one == failed[first] for one in failed.values())
            if error is not None and (same or (first == self.rank and not isinstance(error, LaminaError))):
                raise self._shared(error)
            raise self._shared(_error(what if same else f"{self.name(first)}: {what}", code))
        for rank, one in enumerate(gathered):
            for key, value in gathered[0]["facts"].items():
                if one["facts"].get(key) != value:
                    text = f"{self.name(rank)} has {key} {one['facts'].get(key)}, {self.name(0)} has {value}: "
                    raise self._shared(UsageError(f"{text}all processes of a training must have the same"))

    def name(self, *ranks: int) -> str:
        """Ranks and their machines in words: "rank 1 on b"."""
        hosts: dict[str, list[int]] = {}
        for rank in ranks:
            hosts.setdefault(self._hosts[rank], []).append(rank)
        return " and ".join(
            f"rank{'s' if len(some) > 1 else ''} {', '.join(map(str, some))} on {host}" for host, some in hosts.items()
        )

    # ---------------------------------------------------------------- failing

    def failed(self, error: Exception) -> Exception:
        """The error to raise for one of this process, the same in all processes; it is published first.

        Of several errors the first counts. An error of a collective call is one of the process that is gone. The
        processes are no longer those of a training then.
        """
        if self.world == 1 or getattr(error, "shared", False):
            return error
        if isinstance(error, LaminaError):
            what, code = _outcome(error)
            root = self._publish(self.name(self.rank), what, code)
            return self._over(error if root["what"] == what else self._error_of(root))
        lost = self._await_lost() if isinstance(error, RuntimeError) else None
        if lost is None and "timed out" in str(error).lower():
            lost = (
                f"{self.name(self.rank)} waited for the others for more than --timeout {self.timeout:g} seconds; none "
                "of them is gone, one is slow"
            )
        if lost is None and self._failure() is None:
            self._publish(self.name(self.rank), _outcome(error)[0], 1)
            self._over(error)
            return error
        return self._over(self._error_of(self._publish("", lost or "", 1)))

    def _over(self, error: Exception) -> Exception:
        """The error of all processes, which are no longer those of a training."""
        shared = self._shared(error)
        self.close()
        if current() is self:
            join(_ALONE)
        return shared

    def _error_of(self, root: Mapping[str, Any]) -> LaminaError:
        return _error(self._line(root), root["code"])

    def _line(self, root: Mapping[str, Any]) -> str:
        """A failure in one line, with what is left where a process is gone."""
        if root["who"]:
            return f"{root['who']}: {root['what']}"
        return f"{root['what']}; {self.stands()}" if self.stands is not None else str(root["what"])

    def _shared(self, error: Exception) -> Exception:
        """The error marked as that of all processes; one process of each machine shows it."""
        error.shared, error.shown = True, self.speaks()  # type: ignore[attr-defined]  # marks of our own
        return error

    def speaks(self) -> bool:
        """Whether this is the first process of its machine that is alive."""
        before = [rank for rank in range(self.rank) if self._nodes[rank] == self._nodes[self.rank]]
        dead = self._dead_children()
        return not any(time.monotonic() - self._heard[rank] < SILENT and rank not in dead for rank in before)

    def _publish(self, who: str, what: str, code: int) -> dict[str, Any]:
        """The first failure of all, which is this one where there is none before. Waits until the others know it."""
        mine = {"who": who, "what": what, "code": code}
        self._ask({"failure": json.dumps(mine)}, [(f"knows/{rank}",) for rank in range(self.world)])
        end = time.monotonic() + SILENT
        while time.monotonic() < end:
            alive = [rank for rank in self._heard if time.monotonic() - self._heard[rank] < SILENT or rank == self.rank]
            with self._lock:
                known = "failure" in self._inbox and all(f"knows/{rank}" in self._inbox for rank in alive)
            if known:
                break
            time.sleep(0.01)
        return self._failure() or mine

    def _failure(self) -> dict[str, Any] | None:
        with self._lock:
            text = self._inbox.get("failure")
        return None if text is None else dict(json.loads(text))

    def _await_lost(self) -> str | None:
        """Which processes are gone, after a collective call has failed; None where all are alive."""
        end = time.monotonic() + SILENT + 2 * BEAT
        while time.monotonic() < end:
            if self._failure() is not None:
                return None
            if self._lost(SILENT) is not None:
                time.sleep(BEAT)  # others of the same machine
                return self._lost(SILENT - BEAT)
            time.sleep(0.05)
        return None

    def _lost(self, limit: float) -> str | None:
        """The processes that were silent for so many seconds, in words."""
        if dead := self._dead_children():
            return " and ".join(f"{self.name(rank)} {how}" for rank, how in dead.items())
        now = time.monotonic()
        if self.rank and now - self._reached > limit:
            return f"{self.name(0)} cannot be reached: the process or its machine is gone, or the link is cut"
        silent = [rank for rank, heard in self._heard.items() if rank != self.rank and now - heard > limit]
        if not silent:
            return None
        return f"{self.name(*silent)} {'is' if len(silent) == 1 else 'are'} gone: killed, or the link is cut"

    def _dead_children(self) -> dict[int, str]:
        found = {}
        for rank, child in enumerate(self._children, 1):
            status = child.poll()
            if status:
                how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
                found[rank] = how
        return found

    # ---------------------------------------------------------------- the thread

    def part(self) -> None:
        """The end of the training: waits until all have come as far, and have heard so."""
        if self.world > 1:
            self.gather("end")
            others = [rank for rank in range(self.world) if rank != self.rank]
            self._ask({f"parts/{self.rank}": "1"}, [(f"parts/{rank}",) for rank in others])
            end = time.monotonic() + SILENT
            # the first process may hold the store: the others need it until they have heard
            while self.rank == 0 and time.monotonic() < end:
                with self._lock:
                    if all(f"parts/{rank}" in self._inbox for rank in others):
                        break
                time.sleep(0.01)
        self.close()

    def close(self) -> None:
        """Nothing more is said or heard."""
        self._ended = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(2 * BEAT)

    def _watch(self) -> None:
        pause = BEAT / 2
        while not self._ended:
            try:
                self._exchange()
                self._reached = time.monotonic()
            except RuntimeError:  # the store is gone
                time.sleep(BEAT / 10)
            if not self._ended:
                self._look()
            with self._lock:
                busy = bool(self._outbox or self._wanted)
            pause = min(1.2 * pause, BEAT / 2) if busy else BEAT / 2
            if self._wake.wait(pause):
                pause = 0.01
            self._wake.clear()
        if self._outbox:
            with suppress(RuntimeError):
                self._exchange()

    def _exchange(self) -> None:
        """Say what there is to say, and hear."""
        store, now = self._store, time.monotonic()
        with self._lock:
            outbox, wanted = dict(self._outbox), [*self._wanted, ("failure",)]
        for key, value in outbox.items():
            if key == "failure":
                store.compare_set(key, "", value)
            else:
                store.set(key, value)
            with self._lock:
                self._outbox.pop(key, None)
        if now - self._beaten > BEAT / 3:
            self._beat(now)
        for keys in wanted:
            if keys[0] in self._inbox or not store.check([*keys]):
                continue
            found = dict(zip(keys, (value.decode() for value in store.multi_get([*keys])), strict=True))
            with self._lock:
                self._inbox.update(found)
                self._wanted = [one for one in self._wanted if one != keys]
                if keys == ("failure",):
                    self._outbox[f"knows/{self.rank}"] = "1"
                    self._wake.set()

    def _beat(self, now: float) -> None:
        """Give a sign of life, and look for those of the others."""
        store = self._store
        store.set(f"beat/{self.rank}", str(now))
        self._beaten = now
        for rank in range(self.world):
            if rank not in self._beats and store.check([f"beat/{rank}"]):
                self._beats[rank] = b""
        known = [rank for rank in self._beats if rank != self.rank]
        if known:
            for rank, beat in zip(known, store.multi_get([f"beat/{rank}" for rank in known]), strict=True):
                if self._beats[rank] != beat:
                    self._beats[rank], self._heard[rank] = beat, time.monotonic()

    def _look(self) -> None:
        """End this process where its launcher is gone, or where another has failed and it does not end by itself."""
        if os.getppid() != self._parent:
            what = f"the launcher of {self.name(self.rank)} is gone"
            if self._nodes[self.rank] == 0 and self.rank and launcher() is None:  # the first process has started it
                what, self._heard[0] = f"{self.name(0)} is gone", -math.inf
            root = {"who": "", "what": what, "code": 1}
            with suppress(RuntimeError):
                self._store.compare_set("failure", "", json.dumps(root))
            self._end(root)
        root = self._failure() or {}
        if not root and (lost := self._lost(self.timeout + LINGER)) is not None:
            root = {"who": "", "what": lost, "code": 1}
        if not root:
            self._failed_at = None
        elif self._failed_at is None:
            self._failed_at = time.monotonic()
        elif time.monotonic() - self._failed_at > LINGER:
            self._end(root)

    def _end(self, root: Mapping[str, Any]) -> None:
        """End this process from beside: its own thread does not answer."""
        for child in self._children:
            if child.poll() is None:
                child.kill()
        if self.speaks():
            print(f"lamina: {self._line(root)}", file=sys.stderr, flush=True)
        os._exit(root["code"])


_ALONE = Processes(None, 0, 1)
_current = _ALONE


def current() -> Processes:
    """This process among those of the training; alone where there is no other."""
    return _current


def join(processes: Processes) -> Processes:
    """From now on these are the processes of the training."""
    global _current
    _current.close()
    _current = processes
    return processes


def leave() -> None:
    """After the training: this process is alone again. Waits until all have come as far."""
    global _current
    if _current.world > 1:
        _current.part()
    _current = _ALONE


@contextmanager
def together(stands: Callable[[], str] | None = None) -> Iterator[None]:
    """An error inside the block is an error of all processes: each raises the first of all, and one on each machine
    shows it. Where a process is gone, ``stands`` says what is left."""
    group = current()
    if stands is not None and group.world > 1:
        group.stands = stands
    try:
        yield
    except Exception as error:
        shared = current().failed(error)
        if shared is error:
            raise
        raise shared from error


@contextmanager
def agreed(facts: Mapping[str, str] | None = None) -> Iterator[None]:
    """At the end of the block all processes compare their ``facts``, and whether it succeeded. Inside it none waits for
    another.

    Raises the same LaminaError in all processes.
    """
    error: Exception | None = None
    try:
        yield
    except Exception as raised:
        if current().world == 1:
            raise
        error = raised
    current().agree(error, facts or {})


def _outcome(error: Exception) -> tuple[str, int]:
    """What an error says, and the exit status."""
    if isinstance(error, LaminaError):
        return str(error), error.exit_code
    return f"internal error: {type(error).__name__}: {str(error).partition(chr(10))[0]}", 1


def _error(text: str, code: int) -> LaminaError:
    return UsageError(text) if code == UsageError.exit_code else RunError(text)
