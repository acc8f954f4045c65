"""Entries in texts: words and phrases of a list, found where whole words begin and end."""
