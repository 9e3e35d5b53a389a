"""Asking a language model for captions and instructions: nothing is paid twice, and a budget ends it."""
