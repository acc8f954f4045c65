"""Clustering: hierarchical k-means with resampling, fast, seeded and in bounded memory."""
