"""The kinds of signals: one file each, found by its name."""
