"""Validate: check the profile against expectations, and keep the results with example rows."""
