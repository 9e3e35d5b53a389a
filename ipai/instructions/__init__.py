"""Instructions: the pools of each task, the key-word rule, the slot for an object's name, and their encodings."""

from ipai.instructions.keywords import foreign_keyword
from ipai.instructions.pools import SPLITS, load_pool
from ipai.instructions.slots import fill_slot
from ipai.instructions.table import EmbeddingTable

__all__ = ["SPLITS", "EmbeddingTable", "fill_slot", "foreign_keyword", "load_pool"]
