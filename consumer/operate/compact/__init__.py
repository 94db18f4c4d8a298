"""Rewrites the objects of closed partitions as few large ones, beneath a prefix of their own."""
