"""AlexNet's colours, erasing, mixtures, and several changes in a chain."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lamina.data.image.augment.chain import Chain
from lamina.data.image.augment.colour import ColourPCA, Erasing
from lamina.data.image.augment.crop import ResizedCrop
from lamina.data.image.augment.geometric import Geometric
from lamina.data.image.augment.mix import Mix
from lamina.data.image.augment.policy import RandAugment
from lamina.data.streams import Batch, InMemory, Shuffled


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_colours_move_along_the_principal_components() -> None:
    """The covariance of the offsets is that of the paper's formula: std^2 V diag(lambda^2) V'."""
    mixing = torch.tensor([[0.5, 0.1, 0.0], [0.4, -0.2, 0.1], [0.3, 0.0, -0.2]], dtype=torch.float64)
    covariance = mixing @ mixing.T
    augment = ColourPCA(std=0.1, covariance=tuple(covariance.flatten().tolist()))
    drawn = augment.draw(200_000, generator())
    found = torch.cov(drawn["offset"].T.double())
    torch.testing.assert_close(found, 0.01 * covariance @ covariance, rtol=0.03, atol=1e-5)
    image = torch.rand((4, 3, 5, 5), generator=generator())
    few = {"offset": drawn["offset"][:4]}
    moved = augment.apply({"image": image}, few)["image"] - image
    torch.testing.assert_close(moved, few["offset"][:, :, None, None].expand_as(moved))


def test_a_part_is_erased_with_the_mean_colour() -> None:
    image = torch.rand((2000, 3, 20, 16), generator=generator()) * 0.2
    augment = Erasing(probability=0.25, size=(20, 16), fill=(0.5, 0.6, 0.7))
    drawn = augment.draw(2000, generator(1))
    out = augment.apply({"image": image}, drawn)["image"]
    changed = (out != image).all(1)
    touched = changed.flatten(1).any(1)
    assert 0.21 < touched.float().mean() < 0.29
    assert torch.equal(touched, drawn["found"])
    area = changed.flatten(1).float().mean(1)[touched]
    assert area.min() > 0.01
    assert 0.30 < area.max() < 0.36
    for b in touched.nonzero()[:5, 0].tolist():
        rows, columns = changed[b].any(1).sum(), changed[b].any(0).sum()
        assert changed[b].sum() == rows * columns == drawn["rows"][b] * drawn["columns"][b]
        assert torch.equal(out[b][:, changed[b]], torch.tensor([0.5, 0.6, 0.7])[:, None].expand(-1, rows * columns))
        assert torch.equal(out[b][:, ~changed[b]], image[b][:, ~changed[b]])


def flat(count: int = 8) -> Batch:
    """Images of one value each: the value says how much of whom is in a pixel."""
    values = torch.arange(float(count)).view(-1, 1, 1, 1)
    return {"image": values.expand(-1, 2, 12, 10).clone(), "target": torch.arange(count) % 4}


def shares(target_BK: Tensor, target_B: Tensor) -> Tensor:
    """What is left of each image's own class."""
    assert torch.allclose(target_BK.sum(1), torch.ones(len(target_BK)))
    return target_BK.gather(1, target_B[:, None])[:, 0]


def test_mixup_mixes_neighbours_and_their_targets_alike() -> None:
    batch, mix = flat(), Mix(classes=4, mixup=0.8)
    drawn = mix.draw(8, generator(1))
    out = mix.apply(batch, drawn)
    share = float(drawn["share"][0])
    assert drawn["share"].unique().numel() == 1
    assert 0 < share < 1
    for i in range(8):
        other = i + 1 if i % 2 == 0 else i - 1
        torch.testing.assert_close(out["image"][i], torch.full((2, 12, 10), share * i + (1 - share) * other))
    torch.testing.assert_close(shares(out["target"], batch["target"]), torch.full((8,), share))


def test_cutmix_puts_a_box_of_the_neighbour_in_and_counts_its_pixels() -> None:
    batch, mix = flat(), Mix(classes=4, cutmix=1.0)
    places = set()
    for seed in range(20):
        out = mix.apply(batch, mix.draw(8, generator(seed)))
        pasted = out["image"] != batch["image"]
        assert torch.equal(pasted, pasted[:1, :1].expand_as(pasted))
        neighbour = batch["image"].view(4, 2, 2, 12, 10).flip(1).view(8, 2, 12, 10)
        assert torch.equal(out["image"][pasted], neighbour[pasted])
        box = pasted[0, 0]
        assert box.sum() == box.any(1).sum() * box.any(0).sum()
        torch.testing.assert_close(
            shares(out["target"], batch["target"]), torch.full((8,), 1 - float(box.float().mean()))
        )
        places.add((int(box.any(1).int().argmax()), int(box.sum())))
    assert len(places) > 10


def test_lambda_is_betas_and_both_take_turns() -> None:
    drawn = [Mix(classes=2, mixup=0.2, cutmix=1.0).draw(2, generator(seed)) for seed in range(2000)]
    cut = torch.stack([one["cut"][0] for one in drawn])
    share = torch.stack([one["share"][0] for one in drawn])
    assert 0.46 < cut.float().mean() < 0.54
    # the variance of Beta(a, a) is 1 / (4 (2 a + 1))
    assert float(share[~cut].var()) == pytest.approx(1 / (4 * 1.4), rel=0.1)
    assert float(share[cut].var()) == pytest.approx(1 / 12, rel=0.1)
    assert float(share.mean()) == pytest.approx(0.5, abs=0.03)


def test_several_labels_are_mixed_as_they_are() -> None:
    target = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    drawn = {"share": torch.tensor([0.75, 0.75]), "cut": torch.zeros(2, dtype=torch.bool)}
    out = Mix(classes=3, mixup=1.0).apply({"image": torch.zeros(2, 1, 2, 2), "target": target}, drawn)
    assert out["target"].tolist() == [[0.75, 0.0, 1.0], [0.25, 0.0, 1.0]]


@pytest.mark.parametrize("options", [{"mixup": 0.2}, {"cutmix": 1.0}])
def test_the_last_of_an_odd_batch_stays_as_it_is(options: dict[str, float]) -> None:
    mix, batch = Mix(classes=2, **options), {"image": torch.rand(7, 1, 6, 6), "target": torch.tensor([0, 1] * 3 + [1])}
    mixed, even = mix.apply(batch, mix.draw(7, generator())), {name: value[:6] for name, value in batch.items()}
    torch.testing.assert_close(mixed["image"][6], batch["image"][6])
    assert mixed["target"][6].tolist() == [0, 1]
    assert torch.equal(mixed["image"][:6], mix.apply(even, mix.draw(6, generator()))["image"])


def chain(value_range: tuple[float, float]) -> Chain:
    colours = (ColourPCA(std=0.1, covariance=(0.1,)), Erasing(probability=0.5, size=(6, 6), fill=(0.4,)))
    return Chain(pixels=(Geometric(flip=True),), colours=colours, value_range=value_range)


def test_a_chain_works_on_black_and_white_whatever_the_units() -> None:
    unit = torch.randint(0, 256, (16, 1, 6, 6), generator=generator()) / 255
    drawn = chain((0.0, 1.0)).draw(16, generator(1))
    expected = chain((0.0, 1.0)).apply({"image": unit}, drawn)["image"]
    assert not torch.allclose(expected, unit)
    for low, high, dtype in ((0.0, 255.0, torch.uint8), (0.0, 65535.0, torch.int32), (-1.0, 1.0, torch.float32)):
        stored = unit.double() * (high - low) + low
        stored = stored.to(dtype) if dtype.is_floating_point else stored.round().to(dtype)
        out = chain((low, high)).apply({"image": stored}, drawn)["image"]
        torch.testing.assert_close((out - low) / (high - low), expected, rtol=0, atol=1e-5)


def test_a_part_more_at_the_end_leaves_the_others_as_they_were() -> None:
    one = chain((0.0, 1.0))
    more = Chain(pixels=one.pixels, colours=(*one.colours, Mix(classes=3, mixup=0.4)), value_range=(0.0, 1.0))
    few, many = one.draw(8, generator()), more.draw(8, generator())
    assert len(many) > len(few) > 5
    for name, value in few.items():
        assert torch.equal(value, many[name])


def test_ranks_together_see_what_one_process_sees_mixtures_included() -> None:
    images = torch.randint(0, 256, (40, 3, 12, 12), generator=generator(), dtype=torch.uint8)
    samples = InMemory({"image": images, "target": torch.arange(40) % 5})
    fill = (0.5,) * 3
    augment = Chain(
        pixels=(ResizedCrop(stored=(12, 12), size=(8, 8)), Geometric(flip=True, shift=1)),
        colours=(
            RandAugment(std=0.5, fill=fill),
            ColourPCA(std=0.1, covariance=tuple((torch.eye(3) * 0.1).flatten().tolist())),
            Erasing(probability=0.5, size=(8, 8), fill=fill),
            Mix(classes=5, mixup=0.2, cutmix=1.0),
        ),
    )
    whole = Shuffled(samples, 8, 3, augment=augment)
    ranks = [Shuffled(samples, 8, 3, augment=augment, rank=rank, world=2) for rank in (0, 1)]
    for one, *parts in zip(whole.batches(2), *(rank.batches(2) for rank in ranks), strict=True):
        for name, value in one.items():
            assert torch.equal(value, torch.cat([part[name] for part in parts]))
        assert one["target"].shape == (8, 5)


def test_without_colours_pixels_stay_as_stored() -> None:
    image = torch.randint(0, 256, (4, 1, 6, 6), generator=generator(), dtype=torch.uint8)
    only = Chain(pixels=(Geometric(flip=True, shift=1),))
    out = only.apply({"image": image}, only.draw(4, generator()))["image"]
    assert out.dtype == torch.uint8
