"""Strata: the values of group columns. Count their rows, allocate over them, keep bounds on their shares."""
