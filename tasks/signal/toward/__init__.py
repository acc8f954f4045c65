"""Signals of how much a row belongs to a target set, one file per rule."""
