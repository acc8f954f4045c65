"""Estimate what a run will take before it runs: rows, bytes, memory, seconds."""
