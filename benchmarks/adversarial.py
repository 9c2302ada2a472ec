"""How good are adversarial networks at what they are known for? Toy data with known modes, digits before a classifier
that has seen real ones, mixed precision. Each experiment trains through the public API, with settings that were
committed before it was judged. One thread, CPU time of the process.

    python -m benchmarks.adversarial              # all experiments; what was measured before is not measured again
    python -m benchmarks.adversarial toys         # one of them
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

import lamina
from benchmarks.laboratory import Laboratory, Row, Values, main
from lamina.tasks.sample_metrics.scores import SURE, WITHIN, recognised

SEEDS = (0, 1, 2)
R1 = {"name": "non-saturating", "r1": 0.1}
PLAIN = {"name": "non-saturating"}
TOY: dict[str, Any] = {"steps": 4000, "batch_size": 256, "optimizer": "adam", "lr": 0.001, "beta1": 0.5}
TOYS = {"gaussian-ring": (8, 8), "gaussian-grid": (25, 24)}
"""modes, and how many of them are to be covered"""
GOOD = 0.65

# chosen on seed 7; epochs without end, as the limit on CPU seconds ends the training
DIGITS: dict[str, Any] = {"data": "digits", "epochs": 100_000, "validation": 0.0, "optimizer": "adam"}
NET = {"generator_widths": [64, 32], "discriminator_widths": [32, 64], "latent": 64}
DCGAN: dict[str, Any] = {
    **DIGITS,
    "batch_size": 64,
    "lr": 0.0002,
    "objective": {"name": "non-saturating", "discriminator_rate": 0.2},
    "model_options": NET,
}
WITH_R1: dict[str, Any] = {
    **DIGITS,
    "batch_size": 32,
    "lr": 0.001,
    "beta1": 0.0,
    "beta2": 0.99,
    "objective": {"name": "non-saturating", "r1": 0.3},
    "model_options": {**NET, "discriminator_norm": "none"},
}
LIMITS = {"dcgan-16": 200.0, "R1, no batch norm in D": 285.0}
"""CPU seconds of training; an epoch more ends within five minutes"""
JUDGE: dict[str, Any] = {"config": "lenet5-digits"}
SAMPLES = 4000
RAREST = 0.03

MIXED: dict[str, Any] = {
    "data": "digits",
    "steps": 2000,
    "batch_size": 16,
    "precision": "bf16",
    "objective": {"name": "wasserstein-gp", "n_critic": 3},
    "model_options": {**NET, "image_size": 16},
}


def toys(laboratory: Laboratory) -> Iterator[Row]:
    """Modes covered, and the share of samples near one."""
    for name, objective in (("R1, gamma 0.1", R1), ("plain", PLAIN)):
        for data, (modes, wanted) in TOYS.items():
            found = []
            for seed in SEEDS:
                settings = {**TOY, "data": data, "objective": objective, "seed": seed}

                def measure(settings: dict[str, Any] = settings) -> Values:
                    run, seconds = laboratory.train("gan-toy", settings)
                    judged = run.evaluate()
                    return {name: judged[name] for name in ("modes_covered", "good_samples")} | {"training": seconds}

                found.append(laboratory.measured(f"toys/{data}/{name}/{seed}", settings, measure))
            covered = ", ".join(f"{one['modes_covered']:.0f}" for one in found)
            good = ", ".join(f"{one['good_samples']:.2f}" for one in found)
            seconds = ", ".join(f"{one['training']:.0f}" for one in found)
            what = f"{data}, gan-toy, non-saturating, {name}, 4,000 steps, seeds 0, 1, 2: modes of {modes}"
            text = f"{covered}; within {WITHIN} of a centre {good}; {seconds} CPU seconds"
            reached = all(one["modes_covered"] >= wanted and one["good_samples"] >= GOOD for one in found)
            barred = objective is R1
            yield Row(what, text, f">= {wanted}; >= {GOOD}" if barred else "-", reached if barred else None)


def digits(laboratory: Laboratory) -> Iterator[Row]:
    """What a classifier that has seen real digits makes of generated ones, and how near they are to training digits."""
    for name, settings, bar in (("dcgan-16", DCGAN, 0.5), ("R1, no batch norm in D", WITH_R1, 0.65)):
        found = []
        for seed in SEEDS:
            given, limit = {**settings, "seed": seed}, LIMITS[name]

            def measure(given: dict[str, Any] = given, limit: float = limit) -> Values:
                run, seconds = laboratory.train("dcgan-16", given, limit=limit)
                judge, _ = laboratory.train(None, JUDGE)
                made = run.generate(count=SAMPLES, seed=0)
                share, rarest = recognised(probabilities(judge, made))
                train, test = (pictures(run, split) for split in ("train", "test"))
                return {
                    "recognised": share,
                    "rarest": rarest,
                    "real": recognised(probabilities(judge, test))[0],
                    "nearest": nearest(made, train),
                    "real_nearest": nearest(test, train),
                    "steps": run.history[-1]["step"],
                    "training": seconds,
                }

            judged = {**given, "limit": limit, "judge": JUDGE, "samples": SAMPLES}
            found.append(laboratory.measured(f"digits/{name}/{seed}", judged, measure))
        each = {key: ", ".join(f"{one[key]:.3f}" for one in found) for key in found[0]}
        whole = {key: ", ".join(f"{one[key]:,.0f}" for one in found) for key in ("steps", "training")}
        text = (
            f"{each['recognised']} (real digits {found[0]['real']:.3f}); rarest class {each['rarest']}; distance to "
            f"the nearest training digit {each['nearest']} (of real test digits {found[0]['real_nearest']:.3f}); "
            f"{whole['steps']} steps, {whole['training']} CPU seconds"
        )
        what = f"digits at 16 pixels, {name}, seeds 0, 1, 2: share of {SAMPLES:,} samples recognised above {SURE}"
        reached = all(one["recognised"] >= bar and one["rarest"] >= RAREST and one["training"] <= 300 for one in found)
        yield Row(what, text, f">= {bar}, every class >= {RAREST:.0%}, 5 CPU minutes", reached)


def mixed(laboratory: Laboratory) -> Iterator[Row]:
    """A gradient penalty under bfloat16, to the end."""

    def measure() -> Values:
        run, seconds = laboratory.train("wgan-gp", MIXED)
        values = [value for row in run.history for value in row.values()]
        rows = {"penalty": run.history[-1]["train_penalty"], "steps": run.history[-1]["step"], "training": seconds}
        return rows | {"finite": float(all(map(math.isfinite, values)))}

    found = laboratory.measured("mixed", MIXED, measure)
    text = f"finite at all of {found['steps']:,.0f} steps, the last penalty {found['penalty']:.3f}"
    what = "wgan-gp on digits at 16 pixels, bf16, 3 steps of the critic each"
    finite = bool(found["finite"]) and found["steps"] == 2000
    yield Row(what, text if finite else "**not finite**", "2,000 steps", finite)


def probabilities(judge: lamina.Run, pictures: list[Any]) -> torch.Tensor:
    """(N, K)"""
    made = judge.predict(*pictures)
    return torch.tensor([[one["probabilities"][name] for name in judge.classes] for one in made])


def pictures(run: lamina.Run, split: str) -> list[Any]:
    """Real ones as the run is trained on them."""
    return [run.preprocess.undo(value) for batch in run.batches(split) for value in batch["image"]]


def nearest(pictures: list[Any], training: list[Any]) -> float:
    """The mean over pictures of the root of the mean squared difference to the nearest training picture; 1 is the
    difference of black and white."""
    x, y = (torch.from_numpy(np.stack(some)).flatten(1).double() / 255 for some in (pictures, training))
    distances = [torch.cdist(rows, y).min(1).values for rows in x.split(256)]
    return statistics.fmean((torch.cat(distances) / x.shape[1] ** 0.5).tolist())


EXPERIMENTS: dict[str, Callable[[Laboratory], Iterator[Row]]] = {
    "toys": toys,
    "digits": digits,
    "mixed": mixed,
}

if __name__ == "__main__":
    main("adversarial", __doc__ or "", EXPERIMENTS)
