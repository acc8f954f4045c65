"""Quotas: how many rows each cluster or group gives, allocated exactly."""
