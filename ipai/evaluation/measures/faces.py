"""Who is seen: OpenCV's face recogniser (SFace, 2205.12010) on the largest face that its detector (YuNet) finds.

Both run in OpenCV. Their weights are under MIT and Apache-2.0; those that most papers report forbid commercial use.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ipai.backbones.config import WeightsFile
from ipai.backbones.hub import resolve_file
from ipai.errors import WeightsError
from ipai.files import fingerprint

_CANVAS = 640  # px: the size that the detector's file of 2023 was written for; OpenCV's newer engine takes no other
_SEEN = 320  # px, longer side of a picture on it: YuNet finds faces of 10 to 300 px, and ours fill their pictures
_SURE = 0.7  # of a detection
_OVERLAP = 0.3  # above which two detections are one face
_CROP = 112  # px, the recogniser's input
_BOX = slice(0, 14)  # of a detection: corner, size and five landmarks, px; its score follows


class FaceEncoder:
    """A row for the largest face of a picture; of NaN where none is found.

    Args:
        detector: YuNet's ONNX file.
        recogniser: SFace's ONNX file.

    Raises:
        WeightsError: One cannot be had, or OpenCV cannot read it as what it should be.
    """

    def __init__(self, detector: WeightsFile, recogniser: WeightsFile) -> None:
        paths = resolve_file(detector), resolve_file(recogniser)
        self._detector = _read(
            paths[0],
            "face detector",
            lambda path: cv2.FaceDetectorYN.create(path, "", (_CANVAS, _CANVAS), _SURE, _OVERLAP),
        )
        self._recogniser = _read(paths[1], "face recogniser", lambda path: cv2.FaceRecognizerSF.create(path, ""))
        self.identity = "face-" + "-".join(fingerprint(path)[:16] for path in paths)
        self.preprocessing = f"largest face at a longer side of {_SEEN} px, aligned by its landmarks to {_CROP} px"
        blank = np.zeros((_CANVAS, _CANVAS, 3), np.uint8)
        try:
            self._detector.detect(blank)
            self._width = self._recogniser.feature(blank[:_CROP, :_CROP]).shape[1]
        except cv2.error as error:
            raise WeightsError(f"{paths[0]} and {paths[1]} are no YuNet and SFace: {_first_line(error)}") from error

    def prepared(self, picture: Image.Image) -> Tensor:
        """The aligned face, BGR in 0..255."""
        face = self._largest_face(picture)
        if face is None:
            return torch.full((3, _CROP, _CROP), torch.nan)
        aligned = self._recogniser.alignCrop(_bgr(picture), face)
        return torch.from_numpy(aligned).permute(2, 0, 1).float()

    def embed(self, pixels: Tensor) -> Tensor:
        """The recogniser's features of each face, normalised."""
        return torch.stack([self._row(face) for face in pixels])

    def _row(self, face: Tensor) -> Tensor:
        if face.isnan().any():
            return torch.full((self._width,), torch.nan)
        feature = self._recogniser.feature(face.permute(1, 2, 0).byte().numpy())
        return functional.normalize(torch.from_numpy(feature.copy()), dim=1)[0]

    def _largest_face(self, picture: Image.Image) -> np.ndarray | None:
        """Corner, size and landmarks in the picture's own pixels."""
        scale = _SEEN / max(picture.size)
        width, height = (max(round(side * scale), 1) for side in picture.size)
        canvas = Image.new("RGB", (_CANVAS, _CANVAS))
        canvas.paste(picture.resize((width, height), Image.Resampling.BICUBIC))
        faces = self._detector.detect(_bgr(canvas))[1]
        if faces is None:
            return None
        largest: np.ndarray = max(faces, key=lambda face: face[2] * face[3])
        return np.asarray(largest[_BOX] / scale, np.float32)


def _read(path: Path, name: str, create: Callable[[str], Any]) -> Any:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # OpenCV 5 warns that it computes on the CPU
    try:
        return create(str(path))
    except cv2.error as error:
        raise WeightsError(f"{path} is no {name} that OpenCV can read: {_first_line(error)}") from error


def _bgr(picture: Image.Image) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(picture)[:, :, ::-1])


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
