"""Expressions over columns, as recipes write them: a small grammar of their own, computed on Arrow arrays."""
