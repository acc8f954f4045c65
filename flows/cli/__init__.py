"""The command line, `evenkeel`."""
