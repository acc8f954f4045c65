"""Deduplication: excluded, exact, near and semantic duplicates, each dropped row with its representative."""
