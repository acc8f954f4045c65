"""Evenkeel turns huge, lopsided pools of raw data into large, diverse, balanced training sets."""
