"""Our strategies: one small file each, with the options and the rule."""
