"""The status for people: a page, and words for what is told elsewhere in figures."""
