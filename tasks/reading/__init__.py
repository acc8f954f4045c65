"""Reading a published version in a training loop."""
