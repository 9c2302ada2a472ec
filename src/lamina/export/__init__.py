"""Export: ONNX, OpenVINO and torch.export files, verified before they are written; fast inference inside torch."""
