"""Measure balance before and after, and account for every row: the profile of a version."""
