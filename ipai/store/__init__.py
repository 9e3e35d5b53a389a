"""Shards in an object store: addresses, downloads that are tried again, and a bounded cache on the node's disk."""
