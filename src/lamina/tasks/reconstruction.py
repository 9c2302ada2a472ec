"""What tasks that restore their input share: scores of a sample, thresholds, blame, codes to draw and to walk through.

Legend: B batch, N samples, L numbers of a code; x any shape after the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from lamina.data.protocols import Preprocess
from lamina.data.targets.code import TargetCode
from lamina.errors import UsageError
from lamina.randomness import derive
from lamina.tasks.autoencoder_options import LEAST_NORMAL, VerdictOptions
from lamina.tasks.base import Batch, Call, Task
from lamina.tasks.likelihoods import Likelihood

BLAMED = 3
"""columns or pixels that a prediction names"""
SCORE, CODE_MEAN, CODE_COVARIANCE = "score.", "code.mean", "code.covariance"
"""names of fitted tensors"""


class Restored(NamedTuple):
    """A batch restored: what is seen of p(x|z), -log p(x|z) of each value, the cost of z (B,), and z."""

    mean: Tensor
    losses: Tensor
    latent_cost: Tensor | None
    code: Tensor | None


class Reconstruction(Task):
    """Base class of tasks that restore their input. A subclass sets ``scores`` and implements ``restore``."""

    monitor = ("loss", "min")
    scores: ClassVar[tuple[str, ...]] = ("reconstruction", "latent")
    """what a sample can be judged by, the usual first"""
    has_prior: ClassVar[bool] = False
    """whether ``draw`` needs nothing fitted"""

    def __init__(self, call: Call, likelihood: Likelihood, preprocess: Preprocess | None = None) -> None:
        self.call, self.likelihood = call, likelihood
        self.attributed: Callable[[Tensor], dict[str, float]] | None = getattr(preprocess, "attributed", None)
        self.undo: Callable[[Tensor], Any] | None = getattr(preprocess, "undo", None)
        self.verdict = VerdictOptions()
        self.chosen_score: str | None = None
        self.fitted: Mapping[str, Tensor] = {}

    def input(self, batch: Batch) -> Tensor:
        """The model's input, (B, ...)."""
        x: Tensor = self.call(batch)[0][0]
        return x

    def restore(self, model: nn.Module, x: Tensor) -> Restored:
        """A batch restored without drawing, by ``forward`` alone."""
        raise NotImplementedError

    # ------------------------------------------------------------------ scores

    @property
    def score(self) -> str:
        """The name of the score in use."""
        return self.chosen_score or getattr(self.verdict, "score", None) or self.scores[0]

    def score_of(self, name: str, model: nn.Module, x: Tensor, restored: Restored) -> Tensor:
        """A score of each sample, (B,): the larger, the less the sample is like those trained on."""
        if name == "latent":
            return self.distance(self.code(model, x, restored))
        error_B: Tensor = restored.losses.flatten(1).sum(1)
        return error_B + restored.latent_cost if name == "elbo" and restored.latent_cost is not None else error_B

    def code(self, model: nn.Module, x: Tensor, restored: Restored) -> Tensor:
        """The codes of a batch, (B, L). Raises UsageError for a model that gives none."""
        if restored.code is not None:
            return restored.code
        return codes(model, x)

    def distance(self, code_BL: Tensor) -> Tensor:
        """The squared Mahalanobis distance of codes from those of normal validation samples, (B,)."""
        mean, covariance = self.moments()
        away_BL = code_BL.double() - mean.to(code_BL.device)
        distance_B: Tensor = (away_BL @ torch.linalg.inv(covariance).to(code_BL.device) * away_BL).sum(1)
        return distance_B.to(code_BL.dtype)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean (L,) and covariance (L, L) of the codes of normal validation samples. Raises UsageError without any."""
        if CODE_MEAN not in self.fitted:
            raise UsageError("the run has no validation data whose codes could be compared: set --validation above 0")
        return self.fitted[CODE_MEAN], self.fitted[CODE_COVARIANCE]

    def finalize(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """The scores of normal samples in order, "score.<name>" (N,), and mean and covariance of their codes."""
        found, code_NL = self._scored(model, batches)
        fitted = {name: values.sort().values for name, values in found.items()}
        if code_NL is None or not len(code_NL):
            return fitted
        fitted |= {CODE_MEAN: code_NL.mean(0), CODE_COVARIANCE: shrunk_covariance(code_NL)}
        task = copy(self)
        task.fitted = fitted
        return {**fitted, SCORE + "latent": task.distance(code_NL).sort().values}

    def held_out(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """The scores of samples that the model was not trained on."""
        found, code_NL = self._scored(model, batches)
        return found if code_NL is None else {**found, SCORE + "latent": self.distance(code_NL)}

    def finalize_across(
        self, model: nn.Module, batches: Iterable[Batch], folds: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """The codes of all training samples, the scores of each by the model that was trained without it."""
        own = {name: value for name, value in self.finalize(model, batches).items() if not name.startswith(SCORE)}
        return own | {name: torch.cat([fold[name] for fold in folds]).sort().values for name in folds[0]}

    def _scored(self, model: nn.Module, batches: Iterable[Batch]) -> tuple[dict[str, Tensor], Tensor | None]:
        """The scores of each sample by name, but for "latent", and the codes (N, L), None of a model without any."""
        found: dict[str, list[Tensor]] = {}
        for batch in batches:
            x = self.input(batch)
            restored = self.restore(model, x)
            for name in self.scores:
                if name != "latent":
                    found.setdefault(SCORE + name, []).append(self.score_of(name, model, x, restored).double().cpu())
            if restored.code is not None or hasattr(model, "embed"):
                found.setdefault("code", []).append(self.code(model, x, restored).double().cpu())
        joined = {name: torch.cat(parts) for name, parts in found.items()}
        return joined, joined.pop("code", None)

    def load_finalized(self, fitted: Mapping[str, Tensor]) -> None:
        """Use the scores and codes of normal samples."""
        self.fitted = fitted

    # ------------------------------------------------------------------ predictions

    def predicted_with(self, options: Any) -> Task:
        """Judged by another score, with another quantile or a threshold. Raises UsageError where there are too few
        normal samples for a quantile."""
        task = copy(self)
        task.verdict = options
        task.threshold()
        return task

    def judging(self, score: str | None) -> Reconstruction:
        """With another score, whatever is normal."""
        task = copy(self)
        task.chosen_score = score
        return task

    def usual_threshold(self) -> float | None:
        """``threshold``; None where there are too few normal samples."""
        try:
            return self.threshold()
        except UsageError:
            return None

    def threshold(self) -> float:
        """The score above which a sample is anomalous. Raises UsageError where it can come from nowhere."""
        if self.verdict.threshold is not None:
            return self.verdict.threshold
        normal = self.fitted.get(SCORE + self.score)
        count = 0 if normal is None else len(normal)
        if normal is None or count < LEAST_NORMAL:
            have = "no normal validation samples" if not count else f"{count} normal validation samples only"
            raise UsageError(
                f"the run has {have}: a threshold is a quantile of the scores of at least {LEAST_NORMAL}; "
                "give --threshold"
            )
        return float(torch.quantile(normal, self.verdict.quantile))

    def predict(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """{"reconstruction": like x, "score": (B,), "blame": like x}: what is restored, the score, and the squared
        error of each value."""
        x = self.input(batch)
        self.likelihood.check(x)
        restored = self.restore(model, x)
        score_B = self.score_of(self.score, model, x, restored)
        blame = (restored.mean - x).square()
        return {"reconstruction": restored.mean.float(), "score": score_B.float(), "blame": blame.float()}

    def format_prediction(self, prediction: Mapping[str, Tensor], target: TargetCode) -> dict[str, Any]:
        """{"score", "threshold", "verdict": "normal" or "anomalous", "blame": the columns or pixels with the
        greatest shares of the squared error}; on request "reconstruction", a picture (H, W, C) uint8 or a row."""
        score, threshold = float(prediction["score"]), self.threshold()
        verdict = "anomalous" if score > threshold else "normal"
        blame = self.blamed(prediction["blame"])
        found = {"score": score, "threshold": threshold, "verdict": verdict, "blame": blame}
        if self.verdict.reconstructions:
            value = prediction["reconstruction"].cpu()
            found["reconstruction"] = value.tolist() if self.undo is None else self.undo(value)
        return found

    def blamed(self, errors: Tensor) -> list[dict[str, Any]]:
        """The greatest shares of the squared error of one sample, {"name": column or pixel, "share"} each."""
        parts = self.attributed(errors) if self.attributed is not None else {}
        if self.attributed is None:
            parts = {f"value {i}": value for i, value in enumerate(errors.flatten().tolist())}
        whole = sum(parts.values()) or 1.0
        greatest = sorted(parts.items(), key=lambda one: -one[1])[:BLAMED]
        return [{"name": name, "share": value / whole} for name, value in greatest]

    # ------------------------------------------------------------------ codes

    def span(self, model: nn.Module) -> tuple[Tensor, Tensor]:
        """Middle and standard deviation of each dimension of a code, (L,), for a walk."""
        mean, covariance = self.moments()
        return mean, covariance.diagonal().sqrt()

    def draw(self, model: nn.Module, count: int, seed: int) -> Tensor:
        """Codes (N, L) to generate from; the i-th depends on the seed and i alone. Of an autoencoder, which has no
        prior: from a Gaussian fitted to the codes of validation."""
        mean, covariance = self.moments()
        factor: Tensor = torch.linalg.cholesky(covariance)
        return mean + noise(count, len(mean), seed).double() @ factor.T

    def decode(
        self, model: nn.Module, code_BL: Tensor, shape: tuple[int, ...], noise_B: Tensor | None = None
    ) -> Tensor:
        """What codes stand for: the mean of p(x|z), or a draw from it by normal numbers, (B, *shape). Raises UsageError
        for a model without ``decode``."""
        decode = getattr(model, "decode", None)
        if decode is None:
            raise UsageError(f"{type(model).__name__} has no method 'decode': it cannot generate")
        weight = next(model.parameters())
        out = decode(code_BL.to(weight))
        values: Tensor = self.likelihood.mean(out)
        if noise_B is not None:
            values = self.likelihood.draw(out, noise_B.to(values).reshape(values.shape))
        return values.reshape(-1, *shape)


def codes(model: nn.Module, x: Tensor) -> Tensor:
    """The codes (B, L) that a model gives inputs. Raises UsageError for one without ``embed``."""
    embed = getattr(model, "embed", None)
    if embed is None:
        raise UsageError(f"{type(model).__name__} has no method 'embed': its codes are not known")
    found: Tensor = embed(x)
    return found


def noise(count: int, size: int, seed: int, purpose: str = "codes") -> Tensor:
    """Normal numbers (count, size), the i-th row a function of (seed, purpose, i)."""
    generator = torch.Generator()
    rows = [torch.randn(size, generator=generator.manual_seed(derive(seed, purpose, i))) for i in range(count)]
    return torch.stack(rows) if rows else torch.zeros(0, size)


def shrunk_covariance(code_NL: Tensor) -> Tensor:
    """The covariance (L, L), with a share L / (N + L) of a multiple of the identity: always invertible."""
    count, size = code_NL.shape
    away = code_NL - code_NL.mean(0)
    covariance = away.T @ away / max(1, count)
    level = covariance.diagonal().mean().clamp_min(1e-12)
    share = size / (count + size)
    return (1 - share) * covariance + share * level * torch.eye(size, dtype=code_NL.dtype)
