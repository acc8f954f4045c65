"""Publish: stage a version's files, make it visible in one commit, and look after the versions there are."""
