"""A run's folder: its frozen configuration, its checkpoints, its outcome."""
