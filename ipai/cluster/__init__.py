"""Runs on a cluster: what is frozen before a job waits, how it is submitted, what it does when it starts and ends."""
