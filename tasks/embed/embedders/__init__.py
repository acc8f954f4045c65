"""Our embedders: one file each, with the options and the method."""
