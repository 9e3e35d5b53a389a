"""Opening foreign pictures with Pillow and nothing else: known formats, every colour model to sRGB as a person sees."""

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms

if TYPE_CHECKING:
    from torch import Tensor

# What photographs and renderings come in. Pillow would also start Ghostscript for PostScript that calls itself a JPEG.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
_GREYS = ("L", "LA", "La")
_WITH_PROFILES = ("L", "RGB", "CMYK", "LAB")  # models that a colour profile may be of
_FULL_SCALES = (1, 255, 65_535, 2**31 - 1)
_PROBED = 17  # levels of each channel in the probe of a profile
_SRGB_GAMMA, _SAME_GAMMA = 1 / 2.2, 0.02  # what a PNG in sRGB says of itself, and what nobody sees
_SRGB = ImageCms.createProfile("sRGB")


def open_picture(data: bytes) -> Image.Image:
    """The picture whose file holds `data`, by its header; raises what Pillow raises on damaged content."""
    return Image.open(io.BytesIO(data), formats=FORMATS)


def to_image(pixels: "Tensor") -> Image.Image:
    """RGB uint8 [3, H, W] as a picture."""
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().cpu().numpy())


def is_plain(picture: Image.Image) -> bool:
    """Whether a picture is RGB already, with nothing to say of its colours: `to_rgb` would only copy it."""
    return picture.mode == "RGB" and not {"transparency", "icc_profile", "gamma"} & picture.info.keys()


def to_rgb(picture: Image.Image) -> Image.Image:
    """A copy in sRGB as a person would see it: colour profiles obeyed, any depth as 8 bits, transparency on white.

    Numbers whose full scale the mode does not say (32-bit integers, floating point) are read by the smallest of 1
    (floating point only), 255, 65,535 and 2^31 - 1 that holds 99 % of them. A damaged profile, or one of another colour
    model than the picture's, is passed over, as viewers do. A PNG that names its gamma in place of a profile is shown
    by that; its chromaticities alone are not read.

    Raises:
        ValueError: It holds values that are not finite.
    """
    profile = picture.info.get("icc_profile")
    plain = _of_eight_bits(picture)
    if plain.has_transparency_data:
        whole = (plain.convert("LA") if plain.mode == "La" else plain).convert("RGBA")
        colours = _in_srgb(whole.convert("L" if plain.mode in _GREYS else "RGB"), profile)
        result = Image.new("RGB", plain.size, (255, 255, 255))
        result.paste(colours, mask=whole.getchannel("A"))
    else:
        result = _in_srgb(plain if plain.mode in _WITH_PROFILES else plain.convert("RGB"), profile)
    if not profile and "srgb" not in picture.info:
        result = _of_gamma(result, picture.info.get("gamma"))
    result.info = {}  # its own profile would be taken for one of the new colours when it is saved
    return result


def _of_eight_bits(picture: Image.Image) -> Image.Image:
    if not (picture.mode.startswith("I") or picture.mode == "F"):
        return picture
    values = np.asarray(picture, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("some of its values are not finite")
    if picture.mode.startswith("I;16"):
        full = 65_535
    else:
        most = np.quantile(values, 0.99)
        full = next((scale for scale in _FULL_SCALES[picture.mode == "I" :] if most <= scale), _FULL_SCALES[-1])
    return Image.fromarray((values * (255 / full)).clip(0, 255).round().astype(np.uint8))


def _in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """An opaque picture of 8 bits in sRGB: a new object."""
    if picture.mode == "LAB":
        transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), _SRGB, "LAB", "RGB")
        return ImageCms.applyTransform(picture, transform)  # type: ignore[return-value]
    if profile and (found := _transform(profile, picture.mode)) is not None:
        return ImageCms.applyTransform(picture, found)  # type: ignore[return-value]
    return picture.convert("RGB") if picture.mode != "RGB" else picture.copy()


def _of_gamma(picture: Image.Image, gamma: object) -> Image.Image:
    """An RGB picture whose numbers are the light to the power of `gamma` (PNG, chunk gAMA), in sRGB."""
    if not isinstance(gamma, int | float) or not 0.01 < gamma < 10 or abs(gamma - _SRGB_GAMMA) < _SAME_GAMMA:
        return picture
    light = (np.arange(256) / 255) ** (1 / gamma)
    shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    return picture.point((255 * shown).round().astype(int).tolist() * 3)


@lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile's colours to sRGB; None where there is nothing to do: it is sRGB itself, or it is unusable."""
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)), _SRGB, mode, "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )  # fmt: skip
    except (ImageCms.PyCMSError, OSError):
        return None
    if mode not in ("RGB", "L"):
        return transform
    probe = _probe(mode)
    shown = np.asarray(ImageCms.applyTransform(probe, transform), dtype=np.int16)
    same = np.abs(shown - np.asarray(probe.convert("RGB"), dtype=np.int16)).max() <= 1
    return None if same else transform


def _probe(mode: str) -> Image.Image:
    levels = np.linspace(0, 255, _PROBED).round().astype(np.uint8)
    if mode == "L":
        return Image.fromarray(levels[None])
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    return Image.fromarray(grid.reshape(1, -1, 3))
