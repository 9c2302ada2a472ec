"""A loss that is not a number stops training, and the message leads back to where it was still well."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys import Classify, Fit, classification, gan

from lamina.data.streams import Batch
from lamina.errors import TrainingError
from lamina.training.checkpoints import Checkpoints, load_checkpoint
from lamina.training.events import StepDone
from lamina.training.loop import fit


class GoesWrong(Classify):
    """From its 11th step on the loss is what ``how`` makes of it."""

    def __init__(self, how: Any, last: int = 10**9) -> None:
        self.how, self.last = how, last

    def loss(self, model: nn.Module, batch: Batch, engine: Any) -> tuple[Tensor, dict[str, Tensor]]:
        loss, logs = super().loss(model, batch, engine)
        return (self.how(loss) if 10 <= engine.step <= self.last else loss), logs


def nan(loss: Tensor) -> Tensor:
    return loss * math.nan


def infinite(loss: Tensor) -> Tensor:
    return loss / 0


def steep(loss: Tensor) -> Tensor:
    """Finite, with an infinite gradient: the weights are lost, the next loss shows it."""
    return (loss - loss.detach()).sqrt() + loss


def broken(how: Any, *, reads_every_loss: bool = True, **recipe: Any) -> Fit:
    made = classification(**{"epochs": 20, "lr": 0.05, "evaluate": False} | recipe)
    made.engine.task = GoesWrong(how)
    made.engine._waits_for_loss = reads_every_loss  # False is what an accelerator does
    return made


def fails(made: Fit, folder: Path | None) -> tuple[str, int]:
    """The message, and the last step that was reported."""
    step = 0
    with pytest.raises(TrainingError) as caught:  # noqa: PT012
        for event in fit(made.engine, made.streams, checkpoints=Checkpoints(folder) if folder else None):
            step = event.step if isinstance(event, StepDone) else step
    return str(caught.value), step


def assert_good(folder: Path) -> int:
    """The newest checkpoint has finite weights and averages throughout; returns its step."""
    newest = Checkpoints(folder).latest()
    assert newest is not None
    state = load_checkpoint(newest)["engine"]
    assert all(tensor.isfinite().all() for tensor in state["models"]["model"].values())
    return int(state["step"])


@pytest.mark.parametrize("how", [nan, infinite])
def test_the_message_names_step_player_rate_and_checkpoint(tmp_path: Path, how: Any) -> None:
    message, step = fails(broken(how, checkpoint_every=4), tmp_path)
    assert step == 10
    assert message == (
        "the loss of 'model' is not finite at step 11 (rate 0.05); "
        f"the last good checkpoint is {tmp_path / 'step-00000008.ckpt'}; try a lower --lr or --clip"
    )
    assert assert_good(tmp_path) == 8


def test_without_checkpoints_it_says_so() -> None:
    message, _ = fails(broken(nan), None)
    assert message.endswith("(rate 0.05); no checkpoint was written before; try a lower --lr or --clip")


def test_the_player_is_named() -> None:
    made = gan(7 * 16, 16, epochs=3)
    made.engine.raw["generator"].bias.data.fill_(math.inf)
    message, _ = fails(made, None)
    assert message.startswith("the loss of 'critic' is not finite at step 1 (rate 0.002)")


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_loss_that_spoils_the_weights_spoils_no_checkpoint(tmp_path: Path, clip: float | None) -> None:
    """Step 11 has a finite loss and an infinite gradient, and a checkpoint is due after it: it must not be written."""
    message, step = fails(broken(steep, checkpoint_every=11, clip=clip), tmp_path)
    assert step == 11
    assert message.startswith(
        "a weight of 'model' is not finite after step 11 (rate 0.05); the last good checkpoint is"
    )
    assert assert_good(tmp_path) == 7  # the end of the first epoch


def test_closing_writes_no_spoilt_checkpoint(tmp_path: Path) -> None:
    made = broken(steep)
    events = fit(made.engine, made.streams, checkpoints=Checkpoints(tmp_path))
    while made.engine.step < 11:
        next(events)
    with pytest.raises(
        TrainingError, match=r"a weight of 'model' is not finite .* the last good checkpoint is .*07.ckpt"
    ):
        events.close()
    assert assert_good(tmp_path) == 7


def test_an_accelerator_is_asked_now_and_then(tmp_path: Path) -> None:
    """Where reading every loss would stall the device it is seen at the next checkpoint, before that is written."""
    message, step = fails(broken(nan, reads_every_loss=False), tmp_path)
    assert step == 14  # the end of the second epoch
    assert message.startswith("the loss of 'model' is not finite at or shortly before step 15 (rate 0.05)")
    assert assert_good(tmp_path) == 7


def test_an_accelerator_is_asked_at_the_latest_after_fifty_steps() -> None:
    message, step = fails(broken(nan, reads_every_loss=False, samples=1000), None)  # an epoch is 100 steps
    assert step == 49
    assert "not finite at or shortly before step 5" in message


def test_an_accelerator_is_asked_at_the_end_of_every_epoch_without_checkpoints_too() -> None:
    message, step = fails(broken(nan, reads_every_loss=False, epochs=2), None)
    assert step == 14
    assert message.startswith("the loss of 'model' is not finite")


def test_a_loss_that_was_not_finite_for_a_moment_is_remembered(tmp_path: Path) -> None:
    made = broken(nan, reads_every_loss=False)
    made.engine.task = GoesWrong(lambda loss: loss + (torch.inf if loss.requires_grad else 0), last=10)
    message, _ = fails(made, tmp_path)
    assert "not finite" in message
    assert assert_good(tmp_path) == 7


def test_healthy_training_is_left_alone() -> None:
    made = partial(classification, epochs=9, evaluate=False)()
    made.engine._waits_for_loss = False
    assert len([e for e in fit(made.engine, made.streams) if isinstance(e, StepDone)]) == 63
