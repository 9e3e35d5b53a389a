"""Writes small CelebA sources as they lie on disk, in the authors' form or in Kaggle's.

`write_celeba_source(folder)` is a source that builds without a drop: pass `folder` as `source.root`, and
`source.split=all`. `CelebaWriter` makes a source of exactly the pictures that a test wants.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tests.helpers.coco_source import jpeg, textured

SIZE = (178, 218)
LANDMARKS = (69, 109, 106, 113, 77, 142, 73, 152, 108, 154)
_LANDMARK_NAMES = [
    f"{point}_{axis}" for point in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"
]
# fmt: off
ATTRIBUTES = [
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips",
    "Big_Nose", "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin",
    "Eyeglasses", "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open",
    "Mustache", "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline",
    "Rosy_Cheeks", "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat",
    "Wearing_Lipstick", "Wearing_Necklace", "Wearing_Necktie", "Young",
]
# fmt: on


def write_celeba_source(folder: Path, persons: int = 5, pictures: int = 4) -> Path:
    """Write `persons` x `pictures` different pictures of 178 x 218 px; return `folder`."""
    writer = CelebaWriter(folder)
    for number in range(persons * pictures):
        writer.picture(identity=100 + 7 * (number % persons))
    return writer.save()


@dataclass
class _Row:
    identity: int | str | None
    partition: int | str | None
    landmarks: Iterable[int | str] | None
    attributes: set[str] | None


class CelebaWriter:
    """Collects pictures, and writes the tables when `save` is called.

    Args:
        folder: The root.
        kaggle: Write CSV files with one header line, and the pictures in a folder in a folder.
        official: Put the tables in `Anno` and `Eval`, and the pictures in `Img`, as the authors do.
    """

    def __init__(self, folder: Path, *, kaggle: bool = False, official: bool = False) -> None:
        self.folder = folder
        self.kaggle = kaggle
        self.places = ("Anno", "Eval", "Img") if official else ("", "", "")
        self.rows: dict[str, _Row] = {}
        self.extra: dict[str, list[str]] = {}
        pictures = folder / self.places[2] / "img_align_celeba"
        self.pictures = pictures / "img_align_celeba" if kaggle else pictures
        self.pictures.mkdir(parents=True)

    def picture(
        self,
        identity: int | str | None = 1,
        partition: int | str | None = 0,
        landmarks: Iterable[int | str] | None = LANDMARKS,
        attributes: set[str] | None = frozenset({"Male", "Young", "No_Beard", "Smiling"}),  # type: ignore[assignment]
        content: bytes | Image.Image | None = None,
    ) -> str:
        """Add a picture and its rows (None for no row) and return its name; `content` is `b""` for no file."""
        name = f"{len(self.rows) + 1:06d}.jpg"
        self.rows[name] = _Row(identity, partition, landmarks, attributes)
        if content is None:
            content = textured(*SIZE, len(self.rows))
        content = jpeg(content) if isinstance(content, Image.Image) else content
        if content:
            (self.pictures / name).write_bytes(content)
        return name

    def add_line(self, table: str, line: str) -> None:
        """Add a line to a table as it is."""
        self.extra.setdefault(table, []).append(line)

    def save(self) -> Path:
        """Write the tables; return the root."""
        rows = self.rows.items()
        anno, evaluation, _ = self.places
        signs = {
            name: [1 if attribute in row.attributes else -1 for attribute in ATTRIBUTES]
            for name, row in rows
            if row.attributes is not None
        }
        points = {name: row.landmarks for name, row in rows if row.landmarks is not None}
        self._table(anno, "identity_CelebA", [], {n: [r.identity] for n, r in rows if r.identity is not None})
        self._table(
            evaluation, "list_eval_partition", [], {n: [r.partition] for n, r in rows if r.partition is not None}
        )
        self._table(anno, "list_attr_celeba", ATTRIBUTES, signs)
        self._table(anno, "list_landmarks_align_celeba", _LANDMARK_NAMES, points)
        # Never read: it is in the coordinates of other pictures.
        self._table(anno, "list_bbox_celeba", ["x_1", "y_1", "width", "height"], {n: [320, 828, 0, 0] for n, _ in rows})
        return self.folder

    def save_hq(self, names: dict[int, str]) -> None:
        """Write CelebA-HQ: its mapping file, and a picture of 256 px for each number in `names`."""
        folder = self.folder / "CelebA-HQ-img"
        folder.mkdir()
        lines = ["idx  orig_idx    orig_file"]
        for number, name in names.items():
            lines.append(f"{number:<8}{int(name[:6]) - 1:<12}{name}")
            (folder / f"{number}.jpg").write_bytes(jpeg(textured(256, 256, 500 + number)))
        (self.folder / "CelebA-HQ-to-CelebA-mapping.txt").write_text("\n".join(lines) + "\n")

    def _table(self, folder: str, stem: str, columns: list[str], rows: dict[str, Iterable[object]]) -> None:
        if self.kaggle:
            lines = [",".join(["image_id", *(columns or [stem.rpartition("_")[2]])])]
            lines += [",".join(map(str, [name, *values])) for name, values in rows.items()]
        else:
            lines = [str(len(rows)), " ".join(columns) + " "] if columns else []
            lines += [" ".join([name, *(f"{value:>2}" for value in values)]) for name, values in rows.items()]
        path = self.folder / folder / f"{stem}.{'csv' if self.kaggle else 'txt'}"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\r\n".join([*lines, *self.extra.get(stem, [])]) + "\r\n")
