"""Pairs of all five tasks straight from the toy world's renderer: what the condition gives is known exactly."""
