"""Our readers: one file per format."""
