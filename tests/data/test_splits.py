"""Splits: the source's own, else set aside by seed in the classes' proportions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.data.image.samples import ImageArrays
from lamina.data.opening import open_source
from lamina.data.options import DataOptions
from lamina.data.spec import DataSpec
from lamina.data.splits import complete
from lamina.errors import DataError, UsageError


def spec(classes: int) -> DataSpec:
    return DataSpec(name="s", kind="image", task="classification", classes=tuple("abcdefgh"[:classes]))


def arrays(targets: list[int]) -> ImageArrays:
    """Image i holds the number i, so that samples can be told apart."""
    return ImageArrays(torch.arange(len(targets), dtype=torch.int32)[:, None, None, None], torch.tensor(targets))


@settings(max_examples=40)
@given(
    counts=st.lists(st.integers(4, 40), min_size=2, max_size=5),
    test=st.sampled_from([0.0, 0.1, 0.2, 0.35]),
    validation=st.sampled_from([0.0, 0.1, 0.25]),
    seed=st.integers(0, 100),
)
def test_every_sample_is_in_one_split_and_classes_keep_their_shares(
    counts: list[int], test: float, validation: float, seed: int
) -> None:
    targets = [k for k, count in enumerate(counts) for _ in range(count)]
    options = DataOptions(test=test, validation=validation, split_seed=seed)
    source = complete(spec(len(counts)), {"train": arrays(targets)}, options)
    seen = torch.cat([split.images_NCHW.flatten() for split in source.splits.values()])  # type: ignore[union-attr]
    assert sorted(seen.tolist()) == list(range(len(targets)))
    assert list(source.splits) == ["train"] + ["validation"] * (validation > 0) + ["test"] * (test > 0)
    for name, share in (("test", test), ("validation", validation)):
        if share:
            split = source.splits[name]
            assert len(split) == source.spec.sizes[name] == max(1, round(share * len(targets)))
            found = split.targets.bincount(minlength=len(counts))
            for k, count in enumerate(counts):
                assert abs(int(found[k]) - share * count) <= 1.5
    # every class is left to train on
    assert source.splits["train"].targets.unique().tolist() == list(range(len(counts)))


def test_a_limit_keeps_so_many_training_samples_in_proportion() -> None:
    targets = [0] * 60 + [1] * 30 + [2] * 10
    for validation in (0.0, 0.2):
        whole = complete(spec(3), {"train": arrays(targets)}, DataOptions(test=0.1, validation=validation))
        cut = complete(spec(3), {"train": arrays(targets)}, DataOptions(test=0.1, validation=validation, limit=20))
        assert cut.splits["train"].targets.bincount().tolist() == [12, 6, 2]
        assert cut.spec.sizes["train"] == 20
        assert torch.equal(cut.splits["test"].images_NCHW, whole.splits["test"].images_NCHW)  # type: ignore[union-attr]
        kept, all_ = (set(s.splits["train"].images_NCHW.flatten().tolist()) for s in (cut, whole))  # type: ignore[union-attr]
        assert kept < all_
    own = {"train": arrays(targets), "test": arrays(targets)}
    assert complete(spec(3), own, DataOptions(validation=0.0, limit=20)).spec.sizes == {"train": 20, "test": 100}
    with pytest.raises(UsageError, match="limit is 91, but s has only 90 training samples"):
        complete(spec(3), {"train": arrays(targets)}, DataOptions(test=0.1, validation=0.0, limit=91))
    with pytest.raises(UsageError, match="limit must be at least 1"):
        DataOptions(limit=0)


def test_the_seed_and_nothing_else_decides() -> None:
    first, again = (open_source("digits", options=DataOptions(split_seed=4)) for _ in range(2))
    torch.manual_seed(99)
    other = open_source("digits", options=DataOptions(split_seed=5))
    images = [source.splits["test"].images_NCHW for source in (first, again, other)]  # type: ignore[union-attr]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])
    assert first.spec.fingerprint == other.spec.fingerprint  # of the data, not of how they are divided


def test_a_split_of_the_source_is_kept_and_only_the_other_taken_from_train(image_folder: Callable[..., Path]) -> None:
    image_folder({"train/a": 10, "train/b": 10, "val/a": 2, "val/b": 3})
    root = image_folder({"test/a": 4, "test/b": 4})
    source = open_source(str(root))
    assert dict(source.spec.sizes) == {"train": 20, "validation": 5, "test": 8}
    digits = complete(spec(2), {"train": arrays([0, 1] * 10), "test": arrays([1, 0, 1])}, DataOptions())
    assert dict(digits.spec.sizes) == {"train": 18, "validation": 2, "test": 3}
    assert digits.splits["test"].targets.tolist() == [1, 0, 1]


def test_what_cannot_be_divided(refused: Any) -> None:
    with refused(DataError, "only one class ('a')"):
        complete(spec(1), {"train": arrays([0] * 9)}, DataOptions())
    with refused(DataError, "only one class ('b')"):
        complete(spec(2), {"train": arrays([1] * 9)}, DataOptions())
    with refused(DataError, "class 'c'", "test", "not in train"):
        complete(spec(3), {"train": arrays([0, 1] * 9), "test": arrays([0, 2])}, DataOptions())
    with refused(UsageError, "2 samples", "too few"):
        complete(spec(2), {"train": arrays([0, 1])}, DataOptions())
    with refused(UsageError, "validation must lie in [0, 1), got 1"):
        DataOptions(validation=1)
    with refused(UsageError, "leave nothing to train on"):
        DataOptions(validation=0.5, test=0.5)


def test_a_regression_target_that_never_changes(refused: Any) -> None:
    images = arrays([0] * 9).images_NCHW
    facts = DataSpec(name="s", kind="image", task="regression", targets=("p", "q"))
    targets = torch.stack([torch.arange(9.0), torch.full((9,), 2.5)], 1)
    with refused(DataError, "target 'q'", "one value"):
        complete(facts, {"train": ImageArrays(images, targets)}, DataOptions())


@pytest.mark.parametrize("name", ["digits", "iris", "wine", "breast-cancer", "diabetes"])
def test_subsets_follow_the_index(name: str) -> None:
    split = open_source(name).splits["train"]
    part = split.subset([5, 2])
    assert len(part) == 2
    assert torch.equal(part.targets, split.targets[[5, 2]])
