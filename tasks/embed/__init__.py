"""Rows become vectors: the source's own, hashed n-grams of its texts, a sentence encoder or an image encoder."""
