"""LPIPS (1801.03924) on VGG-16: how far apart two pictures are in what an image classifier sees at each place."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import vgg16
from torchvision.transforms import v2

from ipai.backbones.config import WeightsFile
from ipai.backbones.hub import resolve_file
from ipai.backbones.loading import freeze
from ipai.data.images import MAX_PIXELS, decode_image
from ipai.errors import WeightsError
from ipai.evaluation.measures.encoders import IMAGENET_MEAN, IMAGENET_STD, read_tensors
from ipai.files import fingerprint

_SIDE = 256
_ENDS = (4, 9, 16, 23, 30)  # of VGG's features: after the last activation before each pooling
_WIDTHS = (64, 128, 256, 512, 512)  # of the features there


class PerceptualLikeness:
    """1 - LPIPS of a picture and its condition, one pair at a time: features of a pair are megabytes, so none are kept.

    Args:
        backbone: VGG-16's safetensors file, with torchvision's names.
        heads: The weights of its channels, with the authors' names: `lin0.model.1.weight` and so on.
        device: Where it runs.

    Raises:
        WeightsError: One cannot be had, or holds other tensors.
    """

    preprocessing = f"squeezed to {_SIDE} x {_SIDE} px (bicubic), ImageNet's mean and deviation"

    def __init__(self, backbone: WeightsFile, heads: WeightsFile, device: torch.device) -> None:
        paths = resolve_file(backbone), resolve_file(heads)
        features = _features(paths[0]).to(device)
        freeze(features)
        self._stages = [features[start:end] for start, end in zip((0, *_ENDS), _ENDS, strict=False)]
        self._weights = [weights.to(device) for weights in _heads(paths[1])]
        self.identity = "lpips-" + "-".join(fingerprint(path)[:16] for path in paths)
        self._device = device
        size = v2.Resize((_SIDE, _SIDE), interpolation=v2.InterpolationMode.BICUBIC)
        self._prepare = v2.Compose(
            [size, v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
        )

    def __call__(self, pictures: Sequence[bytes], conditions: Sequence[bytes]) -> list[float | None]:
        """A number for each pair of picture files, at most 1.

        Raises:
            DataError: One is no picture.
        """
        return [1 - self._distance(*pair) for pair in zip(pictures, conditions, strict=True)]

    @torch.no_grad()
    def _distance(self, picture: bytes, condition: bytes) -> float:
        pair = torch.stack([self._prepare(decode_image(content, MAX_PIXELS)) for content in (picture, condition)])
        found, features = torch.zeros((), device=self._device), pair.to(self._device)
        for stage, weights in zip(self._stages, self._weights, strict=True):
            features = stage(features)
            left, right = features / (features.norm(dim=1, keepdim=True) + 1e-10)
            found += ((left - right) ** 2 * weights).sum(0).mean()
        return float(found)


def _features(path: Path) -> nn.Sequential:
    state = read_tensors(path)
    kept = {name.removeprefix("features."): value for name, value in state.items() if name.startswith("features.")}
    with torch.device("meta"):  # its classifier, which is not needed, has most of the weights
        features: nn.Sequential = vgg16(weights=None).features
    try:
        features.load_state_dict(kept, assign=True)
    except RuntimeError as error:
        raise WeightsError(f"{path} is no VGG-16 with torchvision's names: {error}") from error
    return features.float()


def _heads(path: Path) -> list[Tensor]:
    """The weights of each stage's channels, [C, 1, 1]."""
    state = read_tensors(path) if path.suffix == ".safetensors" else _unpickled(path)
    try:
        return [state[f"lin{n}.model.1.weight"].float().view(width, 1, 1) for n, width in enumerate(_WIDTHS)]
    except (KeyError, RuntimeError, AttributeError) as error:
        raise WeightsError(f"{path} does not hold the weights of LPIPS on VGG-16: {error}") from error


def _unpickled(path: Path) -> Mapping[str, Tensor]:
    """Tensors alone: a pickle of anything else is refused."""
    try:
        found: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of pickle, of the archive, of the disk
        raise WeightsError(f"{path} is no file of LPIPS's weights ({error})") from error
    return found
