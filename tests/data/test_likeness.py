import io

from PIL import Image

from ipai.data.likeness import hash_distance, perceptual_hash
from tests.helpers.coco_source import jpeg, textured


def test_a_copy_is_alike_whatever_its_size_and_compression() -> None:
    picture = textured(178, 218, 1)
    buffer = io.BytesIO()
    picture.resize((100, 122)).save(buffer, "JPEG", quality=40)
    copy = Image.open(buffer)
    assert hash_distance(perceptual_hash(picture), perceptual_hash(copy)) <= 3
    assert perceptual_hash(picture) == perceptual_hash(Image.open(io.BytesIO(jpeg(picture, subsampling=0))))


def test_other_pictures_are_not_alike() -> None:
    hashes = [perceptual_hash(textured(178, 218, seed)) for seed in range(12)]
    distances = [hash_distance(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(distances) >= 10
    assert 24 < sum(distances) / len(distances) < 40


def test_a_flat_picture_has_the_hash_zero() -> None:
    assert perceptual_hash(Image.new("RGB", (1, 1), (9, 9, 9))) == 0
