"""Asking a language model: for captions, for instructions, as a judge. Nothing is paid twice, and a budget ends it."""
