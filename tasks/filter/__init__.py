"""Filters: rows leave by a rule over scores, signals, groups and columns, each with the rule as its reason."""
