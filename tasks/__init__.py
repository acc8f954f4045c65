"""The steps: a config, pure functions on arrays and frames, and one thin task each."""
