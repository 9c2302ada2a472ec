"""Batches are a pure function of (seed, epoch, index, rank)."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.data.image.augment.geometric import Geometric
from lamina.data.modality import fit_preprocess
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.protocols import Needs
from lamina.data.streams import Batch, InMemory, InOrder, Shuffled, Stream, Streamed
from lamina.errors import DataError, UsageError


@dataclass
class Loader:
    """Sample i, and a record of which were asked for."""

    asked: list[int] = field(default_factory=list)

    def __call__(self, index: int) -> Batch:
        self.asked.append(index)
        if index == 97:
            raise DataError("cannot read image 'photo97.png': truncated")
        image = torch.full((1, 4, 5), index, dtype=torch.uint8) + torch.arange(5, dtype=torch.uint8)
        return {"image": image, "target": torch.tensor(index)}


def held(count: int) -> InMemory:
    load = Loader()
    samples = [load(i) for i in range(count)]
    return InMemory({name: torch.stack([sample[name] for sample in samples]) for name in samples[0]})


def same(left: list[Batch], right: list[Batch]) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert one[name].dtype == other[name].dtype
            assert torch.equal(one[name], other[name])


AUGMENT = Geometric(flip=True, shift=2)


@settings(max_examples=25)
@given(count=st.integers(1, 60), size=st.integers(1, 20), seed=st.integers(0, 2**40), epoch=st.integers(0, 5))
def test_an_epoch_is_a_permutation_short_of_its_remainder(count: int, size: int, seed: int, epoch: int) -> None:
    size = min(count, size)
    stream = Shuffled(held(count), size, seed)
    seen = torch.cat([batch["target"] for batch in stream.batches(epoch)]).tolist()
    assert stream.per_epoch == count // size
    assert len(seen) == len(set(seen)) == stream.per_epoch * size
    assert set(seen) <= set(range(count))


@pytest.mark.parametrize(("count", "sizes"), [(70, [32, 32, 6]), (66, [32, 32, 2]), (65, [32, 33]), (64, [32, 32])])
def test_a_whole_epoch_of_few_batches_leaves_nothing_out(count: int, sizes: list[int]) -> None:
    batches = [batch["target"] for batch in Shuffled(held(count), 32, 0, whole=True).batches(0)]
    assert [len(batch) for batch in batches] == sizes
    assert sorted(torch.cat(batches).tolist()) == list(range(count))
    many = Shuffled(held(count), 3, 0, whole=True)
    assert {len(batch["target"]) for batch in many.batches(0)} == {3}


@pytest.mark.parametrize("count", [64, 65, 66, 67, 69, 71, 74])
@pytest.mark.parametrize("world", [2, 4])
def test_processes_divide_a_smaller_batch(count: int, world: int) -> None:
    streams = [
        Shuffled(held(count), 32, 0, augment=AUGMENT, rank=rank, world=world, whole=True) for rank in range(world)
    ]
    ranks = [list(stream.batches(0)) for stream in streams]
    assert {len(batches) for batches in ranks} == {streams[0].per_epoch}
    seen = torch.cat([batch["target"] for batches in ranks for batch in batches])
    assert sorted(seen.tolist()) == list(range(count))
    for parts in zip(*ranks, strict=True):
        sizes = [len(part["target"]) for part in parts]
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= 2
        weights = [float(part["weight"][0]) if "weight" in part else 1.0 for part in parts]
        assert [weight * sum(sizes) for weight in weights] == pytest.approx([size * world for size in sizes])


def test_order_and_augmentation_change_with_seed_and_epoch_and_with_nothing_else() -> None:
    orders = {
        (seed, epoch): torch.cat([b["target"] for b in Shuffled(held(90), 30, seed).batches(epoch)]).tolist()
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len({tuple(order) for order in orders.values()}) == 4
    stream = Shuffled(held(90), 30, 0, augment=AUGMENT)
    first = list(stream.batches(1))
    torch.rand(7)  # whatever else draws numbers in between
    same(first, list(stream.batches(1)))
    plain = list(Shuffled(held(90), 30, 0).batches(1))
    assert not torch.equal(first[0]["image"], plain[0]["image"])
    assert isinstance(stream, Stream)


@settings(max_examples=25)
@given(start=st.integers(0, 9), epoch=st.integers(0, 3), streamed=st.booleans())
def test_an_epoch_from_a_position_is_the_tail_of_the_whole(start: int, epoch: int, streamed: bool) -> None:
    load = Loader()
    samples = Streamed(90, load) if streamed else held(90)
    stream = Shuffled(samples, 10, 5, augment=AUGMENT)
    whole = list(stream.batches(epoch))
    load.asked.clear()
    tail = list(stream.batches(epoch, start))
    same(whole[start:], tail)
    if streamed:
        assert len(load.asked) == 10 * len(tail)  # the skipped ones are not decoded


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_together_see_what_one_process_sees(world: int) -> None:
    one = list(Shuffled(held(90), 20, 3, augment=AUGMENT).batches(2))
    ranks = [list(Shuffled(held(90), 20, 3, augment=AUGMENT, rank=r, world=world).batches(2)) for r in range(world)]
    together = [
        {name: torch.cat([part[name] for part in parts]) for name in parts[0]} for parts in zip(*ranks, strict=True)
    ]
    same(one, together)


def test_in_memory_and_streamed_with_and_without_workers_are_identical() -> None:
    memory = list(Shuffled(held(90), 16, 9, augment=AUGMENT).batches(0, 1))
    for workers in (0, 2):
        stream = Shuffled(Streamed(90, Loader()), 16, 9, augment=AUGMENT, workers=workers)
        same(memory, list(stream.batches(0, 1)))


def test_streams_leave_the_default_generator_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    for workers in (0, 1):
        torch.manual_seed(0)
        list(Shuffled(Streamed(8, Loader()), 4, 0, augment=AUGMENT, workers=workers).batches(0))
        list(InOrder(Streamed(8, Loader()), 4, workers=workers))
        assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_fault_in_a_worker_arrives_as_the_one_line_it_was(workers: int, refused: Any) -> None:
    with refused(DataError, "cannot read image 'photo97.png': truncated"):
        list(InOrder(Streamed(100, Loader()), 10, workers=workers))


def test_evaluation_sees_every_sample_once_in_order() -> None:
    batches = list(InOrder(held(25), 10))
    assert [len(batch["target"]) for batch in batches] == [10, 10, 5]
    assert torch.cat([batch["target"] for batch in batches]).tolist() == list(range(25))
    ranks = [torch.cat([b["target"] for b in InOrder(held(25), 10, rank=r, world=2)]).tolist() for r in range(2)]
    assert sorted(ranks[0] + ranks[1]) == list(range(25))


def test_prepare_comes_after_augmentation() -> None:
    def prepare(batch: Batch) -> Batch:
        assert batch["image"].dtype == torch.uint8
        return {**batch, "image": batch["image"].float() + 1}

    plain = next(Shuffled(held(20), 10, 0, augment=AUGMENT).batches(0))
    floats = next(Shuffled(held(20), 10, 0, augment=AUGMENT, prepare=prepare).batches(0))
    assert torch.equal(floats["image"], plain["image"].float() + 1)


def test_batch_sizes_that_cannot_be(refused: Any) -> None:
    with refused(UsageError, "batch size 30", "20 samples"):
        Shuffled(held(20), 30, 0)
    with refused(UsageError, "batch size 9", "2 processes"):
        Shuffled(held(20), 9, 0, world=2)
    assert Shuffled(held(20), 10, 0).with_batch_size(5).per_epoch == 4


def test_real_loaders_survive_pickling_and_spawned_workers(image_folder: Callable[..., Path]) -> None:
    source = open_source(str(image_folder({"a": 10, "b": 10})), options=DataOptions(validation=0))
    preprocess = fit_preprocess(source, Needs(size=(4, 4)))
    for split in (source.splits["train"], open_source("digits").splits["train"]):
        streamed = preprocess.encode(split, hold=False)
        again = pickle.loads(pickle.dumps(streamed))
        same([streamed[3]], [again[3]])
    streamed = preprocess.encode(source.splits["train"], hold=False)
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        (there,) = pool.map(streamed.__getitem__, [3])
    same([streamed[3]], [there])
