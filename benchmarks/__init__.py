"""One file per question: Lamina and its peer interleaved in one process, medians, ratios. A timing is never a test.

Python runs this file before any benchmark imports a peer, which two of them need:

- torchvision registers operators on import and fails where its compiled library does not load; declaring the two that
  are missing is enough for all that the benchmarks use (models and transforms in plain Python). timm, torchmetrics and
  Lightning import it in turn.
- OpenVINO's converter reports its use to its makers, unless it finds no telemetry package.
"""

import sys

import torch

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment] # how Python says: not to be imported
_TORCHVISION = torch.library.Library("torchvision", "FRAGMENT")
for _operator in ("nms", "qnms"):
    if not hasattr(torch.ops.torchvision, _operator):
        _TORCHVISION.define(f"{_operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
