"""Stated properties of the rows of a version, compiled to scans: of rows, of groups of rows, and of cells of a grid."""
