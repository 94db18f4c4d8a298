"""Rows of the Storage Write API, as Arrow."""
