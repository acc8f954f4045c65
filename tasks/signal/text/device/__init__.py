"""What texts are measured by on a CUDA device: the loops of this package's parent in CUDA C, with the same results."""
