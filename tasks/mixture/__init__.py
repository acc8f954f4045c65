"""Mixtures of domains: which weights to draw by, and which to try next, given what training reported."""
