"""Captions of pictures by a language model: what is asked, what is accepted, and the stage that asks before a build."""
