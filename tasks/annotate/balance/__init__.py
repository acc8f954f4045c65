"""Weights of the kept rows that meet stated margins, and pairs of rows that are alike."""
