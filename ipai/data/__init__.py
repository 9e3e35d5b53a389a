"""From shards on disk to batches: which sample comes when, how it is read, and how it is decoded."""
