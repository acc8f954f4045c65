"""Distances between sets of rows, from sums over their vectors that add up over blocks."""
