"""Which scores say for a task that the right thing was taken, and which that another came along.

By what each measure sees: style descriptors the look, edges and self-similarity the layout, class tokens the subject, a
face recogniser who it is, a question what the condition's caption names. Without a face there is no score of it.
"""

_LOOK = ("csd", "judge_style")
_LAYOUT = ("edge_f1", "dino_structure", "lpips", "judge_composition")
_SUBJECT = ("dino_i", "judge_object")
_FACE = ("face_id", "judge_face")
_CONTENT = ("vqa_t",)

TAKEN: dict[str, tuple[str, ...]] = {
    "copy": (*_LOOK, *_LAYOUT, *_SUBJECT, *_FACE, *_CONTENT),
    "style": _LOOK,
    "object": _SUBJECT,
    "structure": _LAYOUT,
    "face": _FACE,
}
"""Task -> scores that should be high."""

LEAKED: dict[str, tuple[str, ...]] = {
    "copy": (),
    "style": (*_LAYOUT, *_SUBJECT, *_FACE, *_CONTENT),
    "object": _LAYOUT,
    "structure": _LOOK,
    "face": _LOOK,
}
"""Task -> scores that should be low."""
