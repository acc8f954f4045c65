"""Choose rows one by one by what each adds to a set function: lazily, on the rows that blocks or leaves hand in."""
