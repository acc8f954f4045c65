"""Ingest: any source, read once, becomes a pool of checked rows in blocks, with every refused row named."""
