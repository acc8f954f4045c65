"""Where it runs: storage, the workspace, compute and the machines under them."""
