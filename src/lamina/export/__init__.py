"""Models on their way out: ONNX, OpenVINO and torch.export files, verified before they are written; fast inference."""
