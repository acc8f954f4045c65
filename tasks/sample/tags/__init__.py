"""Balance by tags: how often each occurs among the candidate rows, and the chances that follow from a cap."""
