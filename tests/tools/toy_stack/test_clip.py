"""The toy CLIP in open_clip's form and in transformers'."""

from pathlib import Path

import torch
from open_clip import create_model_and_transforms

from ipai.toyworld.factors import CHOICES
from tools.toy_stack.clip import (
    ClipWithHeads,
    factor_targets,
    image_tower,
    model_config,
    normalised,
    write_open_clip,
)
from tools.toy_stack.rendered_set import draw_pictures


def test_both_forms_of_the_image_tower_agree() -> None:
    model = ClipWithHeads(600, seed=0).clip.eval()
    pictures = draw_pictures(3, 4, 2)
    pixels = normalised(pictures.images(torch.arange(6)))
    seen: list[torch.Tensor] = []
    model.visual.transformer.resblocks[-2].register_forward_hook(lambda *call: seen.append(call[-1]))
    with torch.no_grad():
        ours = model.encode_image(pixels)
        theirs = image_tower(model)(pixels, output_hidden_states=True)
    torch.testing.assert_close(theirs.image_embeds, ours, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(theirs.hidden_states[-2], seen[0], atol=1e-5, rtol=1e-4)


def test_open_clip_loads_what_was_written(tmp_path: Path) -> None:
    model = ClipWithHeads(600, seed=0).clip.eval()
    write_open_clip(model, model_config(600), tmp_path, torch.float32)
    loaded, _, _ = create_model_and_transforms(f"local-dir:{tmp_path}")
    ids = torch.randint(0, 600, (2, 77))
    with torch.no_grad():
        torch.testing.assert_close(loaded.eval().encode_text(ids), model.encode_text(ids))


def test_the_short_text_pass_equals_open_clips_own() -> None:
    model = ClipWithHeads(600, seed=0)
    ids = torch.zeros(2, 77, dtype=torch.long)
    ids[0, :4] = torch.tensor([598, 7, 9, 599])
    ids[1, :3] = torch.tensor([598, 7, 599])
    images = torch.zeros(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(images, ids)[1], model.clip.encode_text(ids), atol=1e-5, rtol=1e-4)


def test_factors_that_a_picture_does_not_have_are_left_out() -> None:
    targets = factor_targets(draw_pictures(3, 4, 2))
    names = list(CHOICES)
    assert (targets[:4, names.index("object")] >= 0).all()
    assert (targets[4:, names.index("object")] == -100).all()
    assert (targets[:4, names.index("skin")] == -100).all()
    assert (targets[:, names.index("style")] >= 0).all()
