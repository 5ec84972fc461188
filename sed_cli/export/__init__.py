"""A detector as ONNX graphs, for use without PyTorch."""
