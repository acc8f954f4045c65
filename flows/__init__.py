"""What runs: Prefect flows, the recipe that parametrises them, and the command line."""
