"""The kinds of annotations, one a file."""
