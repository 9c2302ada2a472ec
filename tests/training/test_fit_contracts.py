"""Every contract of the loop on a toy: it learns, and a fit closed at any of its events resumes bit for bit."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys import (
    WGANGP,
    Classify,
    Growing,
    Recall,
    assert_resumes_anywhere,
    assert_same_fit,
    classification,
    differences,
    gan,
    growing,
    places,
    recall,
    run,
    two_sides,
)

from lamina.data.streams import Batch
from lamina.training.events import EpochDone, StepDone
from lamina.training.loop import fit

pytestmark = pytest.mark.usefixtures("fast_disk")

RICH = {"optimizer": "sgd", "lr": 0.2, "schedule": "cosine", "warmup": 0.1, "clip": 1.0, "accumulate": 2, "ema": 0.8}


# ---------------------------------------------------------------- one player, everything switched on


def test_a_classifier_learns() -> None:
    _, log = run(partial(classification, 400, epochs=8, **RICH))
    assert log.rows[-1].validation["accuracy"] > 0.9
    assert log.rows[-1].train["loss"] < 0.5 * log.rows[0].train["loss"]
    assert log.rows[0].train["accuracy"] == pytest.approx(
        sum(logs["accuracy"] for epoch, _, logs in log.steps.values() if epoch == 0) / log.rows[0].step
    )


def test_a_classifier_resumes_anywhere(tmp_path: Path) -> None:
    """Dropout, batch norm, augmentation, momentum, cosine, warm-up, clipping, averages; 7 batches make 3.5 updates."""
    events = assert_resumes_anywhere(partial(classification, epochs=3, checkpoint_every=3, **RICH), tmp_path)
    assert places(events) == "ssscsEc" + "sscsEc" + "sscssEc" + "."


def test_every_step_and_every_seed_has_noise_of_its_own() -> None:
    class Noisy(Classify):
        def loss(self, model: nn.Module, batch: Batch, engine: Any) -> tuple[Tensor, dict[str, Tensor]]:
            loss, _ = super().loss(model, batch, engine)
            return loss, {"noise": torch.rand(())}

    drawn = []
    for seed in (0, 1):
        made = classification(epochs=3, seed=seed)
        made.engine.task = Noisy()
        log = list(fit(made.engine, made.streams, evaluate=made.evaluate))
        drawn += [float(event.logs["noise"]) for event in log if isinstance(event, StepDone)]
        drawn += [event.validation["noise"] for event in log if isinstance(event, EpochDone)]
    assert len(set(drawn)) == len(drawn) == 2 * (21 + 3)


# ---------------------------------------------------------------- several players


def test_wgan_gp_learns_and_its_average_follows() -> None:
    case = partial(gan, 6400, 32, images=32 * 5 * 150, lr=0.02, schedule="cosine")
    start = case().engine.raw["generator"].bias.item()
    engine, _ = run(case)
    mean, bias = engine.average["generator"]["bias"].item(), engine.raw["generator"].bias.item()
    assert abs(start - 1) > 1.5
    assert abs(mean - 1) < 0.4
    assert mean != bias
    assert "critic" not in engine.average


def test_wgan_gp_draws_five_batches_and_resumes_anywhere(tmp_path: Path) -> None:
    """An epoch of 7 batches under updates of 5: every update straddles."""
    events = assert_resumes_anywhere(partial(gan, 7 * 16, 16, epochs=4, checkpoint_every=1), tmp_path)
    assert [event.samples for event in events if isinstance(event, StepDone)] == [80 * n for n in range(1, 7)]
    assert places(events) == "sc" + "sEc" + "sEc" + "sc" + "sEc" + "sEc" + "."  # 5, 10, 15, 20, 25, 30 batches of 28


def test_gradients_that_another_player_left_do_not_count(tmp_path: Path) -> None:
    """Without frozen() the generator's loss reaches the critic: that must change neither training nor resuming."""
    case = partial(gan, 7 * 16, 16, epochs=4)
    frozen, free = run(case), run(partial(case, task=WGANGP(freeze=False)))
    assert_same_fit(frozen, free)
    assert_resumes_anywhere(lambda: case(task=WGANGP(freeze=False)), tmp_path)


def test_frozen_gives_gradients_back() -> None:
    engine = gan(images=640).engine
    engine.raw["critic"][0].bias.requires_grad_(False)
    before = [p.requires_grad for p in engine.raw["critic"].parameters()]
    with pytest.raises(ValueError, match="inside"), engine.frozen("critic"):  # noqa: PT012
        assert not any(p.requires_grad for p in engine.raw["critic"].parameters())
        raise ValueError("inside")
    assert [p.requires_grad for p in engine.raw["critic"].parameters()] == before


# ---------------------------------------------------------------- phases


def test_phases_change_resolution_batch_rate_fade_and_optimiser() -> None:
    made = growing()
    adam = made.engine.optimisers["model"].optimizer
    seen, steps_of_adam = [], []
    for event in fit(made.engine, made.streams):
        if isinstance(event, StepDone):
            seen.append((event.samples, {name: float(value) for name, value in event.logs.items()}))
            steps_of_adam.append(int(next(iter(adam.state.values()))["step"]))
    before = [(samples, logs) for samples, logs in seen if samples <= 80]
    after = [(samples, logs) for samples, logs in seen if samples > 80]
    assert [samples for samples, _ in before] == [16, 32, 48, 64, 80]  # the 72nd image turns the phase
    assert [samples for samples, _ in after] == list(range(88, 201, 8))
    assert {(logs["side"], logs["fade"]) for _, logs in before} == {(4.0, 1.0)}
    assert [logs["rate"] for _, logs in before] == pytest.approx([0.02] * 5)
    assert {logs["side"] for _, logs in after} == {8.0}
    assert [logs["rate"] for _, logs in after] == pytest.approx([0.01] * 15)
    fades = [logs["fade"] for _, logs in after]
    assert fades == pytest.approx([min(1.0, (samples - 8 - 72) / 64) for samples, _ in after])
    assert all(b > a for a, b in pairwise(fades[:8]))
    assert fades[0] > 0
    assert fades[-1] == 1
    assert steps_of_adam == [*range(1, 6), *range(1, 16)]


def test_a_phase_begins_a_new_epoch_of_the_data() -> None:
    made = growing()
    events = list(fit(made.engine, made.streams))
    epochs = [event.step for event in events if isinstance(event, EpochDone)]
    assert epochs == [5, 5 + 13, 20]  # cut short by the turn; 104 images in batches of 8; cut short by the end
    assert made.engine.phase is not None
    assert made.engine.phase.index == 1


def test_phases_learn() -> None:
    _, log = run(partial(growing, Growing(320, 320), images=960))
    assert log.rows[-1].train["accuracy"] > 0.95


def test_phases_resume_anywhere(tmp_path: Path) -> None:
    """In mid-fade, and at the very step at which the phase turns."""
    events = assert_resumes_anywhere(growing, tmp_path)
    assert places(events) == "sssssEc" + "s" * 13 + "Ec" + "ssEc" + "."


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (96, "ssssssEc" + "ssssEc" + "."),  # 104 images in batches of 16 are 6 steps: the turn is the epoch's end
        (104, "ssssssEc" + "sEc" + "ssEc" + "."),  # or one step into the next epoch
    ],
)
def test_a_phase_that_turns_near_the_epochs_end_ends_each_epoch_once(tmp_path: Path, turn: int, expected: str) -> None:
    events = assert_resumes_anywhere(partial(growing, Growing(turn, 64), images=128), tmp_path)
    assert places(events) == expected


def test_a_phase_that_cuts_the_last_epoch_short_ends_training() -> None:
    made = growing(Growing(turn=120), images=None, epochs=2)
    events = list(fit(made.engine, made.streams))
    assert places(events) == "ssssssE" + "ssE" + "."


# ---------------------------------------------------------------- truncated back-propagation through time


def test_a_language_model_learns_through_its_carry() -> None:
    with_carry, without = (run(lambda c=c: recall(Recall(c), epochs=20))[1].rows[-1].train for c in (True, False))
    assert with_carry["accuracy"] > 0.98
    assert without["accuracy"] < 0.8


def test_a_language_model_resumes_anywhere(tmp_path: Path) -> None:
    events = assert_resumes_anywhere(recall, tmp_path)
    assert places(events) == "ssssssEc" * 2 + "."


def test_the_carry_is_detached_and_begins_anew_with_every_epoch() -> None:
    task = Recall()
    engine, _ = run(lambda: recall(task))
    assert task.received == [False, True, True, True, True, True] * 2
    assert not any(tensor.requires_grad for tensor in engine.carry)


def test_the_carry_begins_anew_inside_an_update_that_straddles_epochs(tmp_path: Path) -> None:
    """Six chunks an epoch, four to an update: the second update ends one epoch and begins the next."""
    task = Recall()
    run(lambda: recall(task, accumulate=4))
    assert task.received[:12] == [False, True, True, True, True, True] * 2
    assert_resumes_anywhere(partial(recall, accumulate=4), tmp_path)


# ---------------------------------------------------------------- named streams


def test_two_streams_of_different_length_learn() -> None:
    _, log = run(partial(two_sides, epochs=40))
    assert log.rows[-1].train["A"] < 0.03
    assert log.rows[-1].train["B"] < 0.03
    assert log.rows[0].train["A"] > 0.1


def test_two_streams_of_different_length_resume_anywhere(tmp_path: Path) -> None:
    events = assert_resumes_anywhere(two_sides, tmp_path)
    assert places(events) == "sssssssEc" * 2 + "."
    assert [event.samples for event in events if isinstance(event, StepDone)][-1] == 2 * 7 * 8  # of "A" alone


def test_every_stream_keeps_its_own_epochs() -> None:
    made = two_sides(epochs=2)
    drawn: dict[str, list[torch.Tensor]] = {"A": [], "B": []}

    class Watched:
        def __init__(self, name: str, stream: object) -> None:
            self.name, self.stream = name, stream
            self.per_epoch = stream.per_epoch

        def with_batch_size(self, batch_size: int) -> object:
            raise AssertionError("no phase asks for this")

        def batches(self, epoch: int, start: int = 0) -> object:
            for batch in self.stream.batches(epoch, start):
                drawn[self.name].append(batch["x"])
                yield batch

    list(fit(made.engine, {name: Watched(name, stream) for name, stream in made.streams.items()}))
    for name, epochs in (("A", [0, 1]), ("B", [0, 1, 2])):
        expected = [batch["x"] for epoch in epochs for batch in made.streams[name].batches(epoch)]
        assert len(drawn[name]) == 14
        assert all(torch.equal(a, b) for a, b in zip(drawn[name], expected, strict=False))


# ---------------------------------------------------------------- the comparison itself


def test_the_comparison_sees_a_single_bit(tmp_path: Path) -> None:
    engine, _ = run(classification)
    state = engine.state_dict()
    other = {**state, "average": {}, "step": state["step"] + 1}
    assert differences(state, other) == ["/step"]
    weights = {name: tensor.clone() for name, tensor in state["models"]["model"].items()}
    weights["0.bias"][3] = torch.nextafter(weights["0.bias"][3], torch.tensor(9.0))
    assert differences(state, {**state, "models": {"model": weights}}) == ["/models/model/0.bias"]
