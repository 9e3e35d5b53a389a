"""Builders of the training data: each turns one real source into WebDataset shards of one task.

`engine` holds what all builders share, every other package knows one source, `registry` says which builder makes
which task.
"""
