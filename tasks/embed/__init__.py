"""Rows become vectors: the source's own, hashed n-grams of its texts, or a sentence encoder."""
