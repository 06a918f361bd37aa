"""What runs a network: PyTorch on a processor or GPU, and ONNX Runtime."""
