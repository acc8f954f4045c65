"""Validate: the expectations on the profile, with the reasons and the evidence."""
