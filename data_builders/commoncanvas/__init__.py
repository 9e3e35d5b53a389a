"""Task `structure`: photographs of CommonCatalog, redrawn along their edges by the scribble ControlNet."""
