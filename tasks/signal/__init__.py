"""Signals: one named number, or list of tags, per row, made block by block and usable wherever a score is."""
