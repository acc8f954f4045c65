"""Publish a version: stage its files, audit them, make them visible in one commit."""
