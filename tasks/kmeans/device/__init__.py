"""k-means on a CUDA device: rows, centroids and labels stay there, and the host steers by small numbers."""
