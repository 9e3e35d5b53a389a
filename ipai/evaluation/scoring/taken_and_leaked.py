"""Which scores say for a task that the right thing was taken, and which that another came along.

By what each measure sees: style descriptors the look, edges and self-similarity the layout, class tokens the subject. A
face has no measure of its own here.
"""

_LOOK = ("csd",)
_LAYOUT = ("edge_f1", "dino_structure")
_SUBJECT = ("dino_i",)

TAKEN: dict[str, tuple[str, ...]] = {
    "copy": (*_LOOK, *_LAYOUT, *_SUBJECT),
    "style": _LOOK,
    "object": _SUBJECT,
    "structure": _LAYOUT,
    "face": (),
}
"""Task -> scores that should be high."""

LEAKED: dict[str, tuple[str, ...]] = {
    "copy": (),
    "style": (*_LAYOUT, *_SUBJECT),
    "object": _LAYOUT,
    "structure": _LOOK,
    "face": _LOOK,
}
"""Task -> scores that should be low."""
