"""Deduplication: excluded, exact, near and semantic duplicates, each naming the row that is kept."""
