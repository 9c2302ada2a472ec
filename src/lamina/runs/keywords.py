"""The options of ``lamina.train`` as typed keywords. Generated: python tests/runs/test_keywords.py"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from lamina.options.recipe import Augmentation, Optimizer, Precision, Schedule


class TrainKwargs(TypedDict, total=False):
    """Fields of ``Recipe``, ``Augmentation`` and ``DataOptions``, and the objective."""

    objective: str | Mapping[str, Any] | None
    augmentation: Augmentation | Mapping[str, Any]
    epochs: int | None
    steps: int | None
    images: int | None
    minutes: float | None
    batch_size: int | None
    accumulate: int | None
    window: int | None
    optimizer: Optimizer | None
    lr: float | None
    momentum: float | None
    nesterov: bool | None
    beta1: float | None
    beta2: float | None
    eps: float | None
    weight_decay: float | None
    decay_norm_and_bias: bool | None
    clip: float | None
    schedule: Schedule | None
    warmup: float | None
    decay_start: float | None
    final_lr: float | None
    milestones: tuple[float, ...] | None
    gamma: float | None
    plateau_patience: int | None
    label_smoothing: float | None
    class_weights: bool | None
    ema: float | None
    monitor: str | None
    metric_network: str | None
    metric_layer: str | None
    metric_samples: int | None
    sample_metrics: tuple[Literal["fid", "kid", "precision-recall", "recognised"], ...] | None
    calibrate: bool | None
    patience: int | None
    freeze: tuple[str, ...] | None
    layer_decay: float | None
    checkpointing: bool | None
    memory: Literal["auto", "hold", "stream"] | None
    workers: int | None
    seed: int | None
    precision: Precision | None
    channels_last: bool | None
    compile: bool | None
    checkpoint_every: int | None
    accelerator: Literal["auto", "cpu", "cuda", "mps"] | None
    devices: int | None
    num_nodes: int | None
    timeout: float | None
    strategy: Literal["ddp", "fsdp"] | None
    resize: Literal["stretch", "pad", "crop"] | None
    flip: bool | None
    shift: int | None
    crop: int | None
    resized_crop: tuple[float, float] | None
    rand_augment: float | None
    rand_augment_layers: int | None
    rand_augment_std: float | None
    trivial_augment: bool | None
    colour_pca: float | None
    erasing: float | None
    mixup: float | None
    cutmix: float | None
    normalisation: Literal["auto", "data", "imagenet", "half", "unit"] | None
    binarise: Literal["none", "threshold", "once", "always"] | None
    target: str | tuple[str, ...] | None
    text: str | None
    languages: tuple[str, ...] | None
    separator: str | None
    categorical: tuple[str, ...] | None
    drop: tuple[str, ...] | None
    keep: tuple[str, ...] | None
    day_first: bool | None
    split_column: str | None
    missing: tuple[str, ...] | None
    delimiter: str | None
    decimal: Literal["auto", ".", ","] | None
    thousands: str | None
    header: Literal["yes", "no"] | None
    encoding: str | None
    root: str | None
    suffix: str | None
    layout: Literal["auto", "NCHW", "NHWC"] | None
    skip_bad: bool | None
    validation: float | None
    test: float | None
    limit: int | None
    normal: str | None
    group: str | None
    folds: int | None
    fold: int | None
    split_seed: int | None
    time: str | None
    horizon: int | None
    context: int | None
    series: tuple[str, ...] | None
    known: tuple[str, ...] | None
    static: tuple[str, ...] | None
    past: tuple[str, ...] | None
    season: int | None
    frequency: str | None
    gaps: Literal["refuse", "fill", "split"] | None
    rows: tuple[int, ...] | None
    scale: Literal["auto", "channel", "series"] | None
    calendar: bool | None
    tokenizer: str | None
    vocabulary: int | None
    lowercase: bool | None
    max_tokens: int | None
    max_extracted_bytes: int | None
