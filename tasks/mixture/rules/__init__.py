"""The rules of mixtures, one file each; the file of a name is found by it."""
