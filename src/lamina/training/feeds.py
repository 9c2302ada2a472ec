"""Position in the training data: epoch and batch of every stream, and the share of training done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from lamina.data.streams import WEIGHT, Batch, Elastic, Stream
from lamina.errors import DataError
from lamina.training.engine import Engine


class Feed:
    """Endless batches of a stream; ``index`` batches of epoch ``epoch`` have been drawn."""

    def __init__(self, name: str, stream: Stream, dtype: torch.dtype) -> None:
        if stream.per_epoch < 1:
            raise DataError(f"the stream '{name}' of training data is shorter than one batch")
        self.name, self.stream, self.dtype = name, stream, dtype
        self.epoch, self.index = 0, 0
        self._ahead: Iterator[Batch] | None = None

    def __iter__(self) -> Feed:
        return self

    def __next__(self) -> Batch:
        if self.index >= self.stream.per_epoch:
            self.start(self.epoch + 1)
        if self._ahead is None:
            self._ahead = self.stream.batches(self.epoch, self.index)
        batch = next(self._ahead, None)
        if batch is None:
            count, expected = self.index, self.stream.per_epoch
            raise DataError(f"the stream '{self.name}' ended after {count} of the {expected} batches of an epoch")
        self.index += 1
        if self.dtype is not torch.float64:
            return batch
        return {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}

    def start(self, epoch: int, index: int = 0) -> None:
        """Move to a position."""
        self.epoch, self.index, self._ahead = epoch, index, None

    @property
    def position(self) -> float:
        """Epochs drawn, as a fraction."""
        return self.epoch + self.index / self.stream.per_epoch


class First(Feed):
    """The stream that counts epochs and samples: drawing from it moves training forward."""

    def __init__(self, name: str, stream: Stream, dtype: torch.dtype, feeds: Feeds) -> None:
        super().__init__(name, stream, dtype)
        self.feeds = feeds

    def __next__(self) -> Batch:
        engine = self.feeds.engine
        if self.index in (0, self.stream.per_epoch):
            engine.task.epoch_started(engine)
        batch = super().__next__()
        mine, world = len(next(iter(batch.values()))), engine.fabric.world_size
        engine.images_seen += round(mine * world / float(batch[WEIGHT][0])) if WEIGHT in batch else mine * world
        engine.progress_after = self.feeds.share(engine.step + 1)
        return batch


class Feeds:
    """The batches of a task: ``next(batches)`` from the first stream, ``next(batches["name"])`` from a named one."""

    def __init__(self, streams: Mapping[str, Stream], engine: Engine) -> None:
        dtype = torch.float64 if engine.recipe.precision == "fp64" else torch.float32
        (name, stream), *others = streams.items()
        self.engine = engine
        self.first = First(name, stream, dtype, self)
        self.feeds: dict[str, Feed] = {name: self.first} | {n: Feed(n, stream, dtype) for n, stream in others}

    def __next__(self) -> Batch:
        return next(self.first)

    def __getitem__(self, name: str) -> Feed:
        return self.feeds[name]

    @property
    def epochs_done(self) -> int:
        return int(self.first.position)

    @property
    def finished(self) -> bool:
        return self.share(self.engine.step) == 1

    def share(self, step: int) -> float:
        """Share of training done, 0 to 1, after ``step`` updates on the batches drawn so far."""
        unit, amount = self.engine.recipe.length
        done = {"epochs": self.first.position, "steps": step, "images": self.engine.images_seen}[unit]
        return min(1.0, done / amount)

    def resize(self, batch_size: int) -> None:
        """Change the batch size of all streams."""
        for feed in self.feeds.values():
            feed.stream = feed.stream.with_batch_size(batch_size)

    def next_epoch(self) -> None:
        """Start a new epoch in every stream."""
        for feed in self.feeds.values():
            feed.start(feed.epoch + 1)

    def state_dict(self) -> dict[str, list[int]]:
        return {name: [feed.epoch, feed.index, feed.stream.per_epoch] for name, feed in self.feeds.items()}

    def load_state_dict(self, state: dict[str, list[int]]) -> None:
        """Restore positions. Raises DataError if the length of a stream has changed."""
        for name, feed in self.feeds.items():
            epoch, index, per_epoch = state[name]
            if feed.stream.per_epoch != per_epoch and isinstance(feed.stream, Elastic):
                feed.stream = feed.stream.with_count(per_epoch)
            if feed.stream.per_epoch != per_epoch:
                now = feed.stream.per_epoch
                raise DataError(
                    f"the data has changed: an epoch of '{name}' had {per_epoch} batches, and has {now} now"
                )
            feed.start(epoch, index)
