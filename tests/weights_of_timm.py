"""A repository as timm's on the hub are: its names of tensors, its config.json, a licence in the model card."""

from __future__ import annotations

import json

import torch
from safetensors.torch import save

import lamina

README = b"---\nlicense: apache-2.0\ntags: [x]\n---\n# Weights\n"


def repository(name: str, **options: object) -> dict[str, bytes]:
    """The files of a model with random weights (seed 3), normalised in a way of its own."""
    from lamina.weights.loading import layouts_of

    torch.manual_seed(3)
    model = lamina.create_model(name, **options)
    layout = next(layout for layout in layouts_of(model) if layout.source == "timm")
    names = layout.translation(model)
    tensors = {names.theirs(ours) or ours: value for ours, value in model.state_dict().items()}
    stated = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3], "input_size": [3, 224, 224], "num_classes": 1000}
    config = {"architecture": name, "num_classes": 1000, "pretrained_cfg": stated}
    return {"README.md": README, "config.json": json.dumps(config).encode(), "model.safetensors": save(tensors)}
