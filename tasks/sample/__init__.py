"""Choose which rows to keep: allocate quotas over clusters and draw rows by coordinated hashing."""
