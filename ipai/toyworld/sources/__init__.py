"""The toy world written as the real sources lie on disk, so that the real builders run on it unchanged."""
