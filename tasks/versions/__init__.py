"""Published versions: list, compare, verify, prune, take rows down, export."""
