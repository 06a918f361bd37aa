"""What runs a network: PyTorch on a processor or GPU, ONNX Runtime, OpenVINO."""
