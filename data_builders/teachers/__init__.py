"""Pipelines that draw targets: which models, how they are loaded once a process, and how they run in batches."""
