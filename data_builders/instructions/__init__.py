"""Instruction pools written by a language model, from the paper's prompt to the two files of each task."""
