"""Which faces CelebA lists: where its files are, and their join over the name of the picture."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from data_builders.celeba.config import SPLITS, CelebaSource, FaceBuild
from data_builders.celeba.geometry import LANDMARKS, are_usable
from data_builders.celeba.tables import Table, damaged, read_lines, read_table, split
from ipai.errors import DataError

MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
_MAPPING_ROW = re.compile(r"(\d{1,8}) \d+ (\d{1,8}\.jpg)")

_OBTAIN = """How to obtain CelebA:
  1. from its page (mmlab.ie.cuhk.edu.hk/projects/CelebA.html) take Img/img_align_celeba.zip (1.3 GB),
     Anno/identity_CelebA.txt, Anno/list_landmarks_align_celeba.txt, Anno/list_attr_celeba.txt and
     Eval/list_eval_partition.txt. Kaggle's CSV files serve too, but the identities are not among them.
  2. put them in {root}, with or without the folders Anno, Eval and Img, and unzip the pictures, so that there is
       {root}/img_align_celeba/000001.jpg  and so on
  3. for source.form=hq take CelebAMask-HQ as well (page of the same name), so that there are
       {root}/CelebA-HQ-to-CelebA-mapping.txt  and  {root}/CelebA-HQ-img/0.jpg  and so on
     (or both in {root}/CelebAMask-HQ)
  4. repeat the command with source.root={root}
Licence: non-commercial research; the pictures may not be passed on. They show real people."""


@dataclass(frozen=True)
class Face:
    """A picture of a person.

    Attributes:
        name: CelebA's name of it (`000001.jpg`), which all tables use.
        file: Its name in the folder of pictures; differs from `name` in CelebA-HQ.
        identity: CelebA's number of the person.
        partition: 0, 1 or 2: CelebA's train, val and test.
        landmarks: x, y of both eyes, nose and mouth corners (px), or None where none are needed.
    """

    name: str
    file: str
    identity: int
    partition: int
    landmarks: tuple[int, ...] | None


def load_faces(config: FaceBuild) -> tuple[list[Face], dict[str, int]]:
    """Every face that all needed tables describe, by name, and counts of what there was and what was left out.

    Raises:
        DataError: A file or folder is missing (the message says how to obtain CelebA), or a file is damaged.
    """
    source = config.source
    picture_folder(source)
    files, bad_mapping = _files(source)
    identities = read_table(annotation_file(source, "identity_CelebA"), 1)
    partitions = read_table(annotation_file(source, "list_eval_partition"), 1)
    landmarks = _landmarks(source) if config.needs_landmarks else None
    counts: Counter[str] = Counter()
    faces: list[Face] = []
    for name in sorted(identities.rows if files is None else files):
        values = [table.rows.get(name) for table in (identities, partitions)]
        points = landmarks.rows.get(name) if landmarks else None
        why = _why_not(values[0], values[1], points, config)
        counts[why or "faces"] += 1
        if why is None:
            assert values[0] is not None
            assert values[1] is not None
            faces.append(Face(name, files[name] if files else name, values[0][0], values[1][0], points))
    bad = {"mapping": bad_mapping, "identities": identities.bad_rows, "partitions": partitions.bad_rows}
    if landmarks:
        bad["landmarks"] = landmarks.bad_rows
    facts = {"pictures": counts.total(), **{why: counts[why] for why in _REASONS if counts[why]}}
    return faces, facts | {f"bad rows in {table}": count for table, count in bad.items() if count}


def load_attributes(source: CelebaSource) -> Table:
    """The table of the 40 attributes, 1 where a picture has one.

    Raises:
        DataError: It is missing, damaged, or has no header.
    """
    path = annotation_file(source, "list_attr_celeba")
    table = read_table(path)
    if "Male" not in table.columns:
        raise damaged(path, "its header does not name the attributes")
    return table


def annotation_file(source: CelebaSource, stem: str) -> Path:
    """Where an annotation file is: in the root, `Anno` or `Eval`, as `.txt` or `.csv`.

    Raises:
        DataError: Nowhere.
    """
    root = Path(source.root).expanduser()
    for folder in (root, root / "Anno", root / "Eval"):
        for ending in (".txt", ".csv"):
            if (folder / f"{stem}{ending}").is_file():
                return folder / f"{stem}{ending}"
    raise _missing(source, f"{stem}.txt (or .csv), also in Anno or Eval")


def picture_folder(source: CelebaSource) -> Path:
    """The folder that holds the pictures; some archives unpack to a folder in a folder of the same name.

    Raises:
        DataError: There is none.
    """
    root = Path(source.root).expanduser()
    if source.form == "hq":
        places = [root / "CelebA-HQ-img", root / "CelebAMask-HQ" / "CelebA-HQ-img"]
    else:
        outer = [root / "img_align_celeba", root / "Img" / "img_align_celeba"]
        places = [*(folder / "img_align_celeba" for folder in outer), *outer]
    for place in places:
        if place.is_dir():
            return place
    raise _missing(source, f"folder {places[-2].relative_to(root)}")


_OTHER_SPLIT = "pictures of other partitions (source.split)"
_REASONS = (
    "pictures without identity",
    "pictures without partition",
    _OTHER_SPLIT,
    "pictures without usable landmarks",
)


def _why_not(
    identity: tuple[int, ...] | None,
    partition: tuple[int, ...] | None,
    points: tuple[int, ...] | None,
    config: FaceBuild,
) -> str | None:
    """The first reason for which a picture is left out."""
    if identity is None:
        return _REASONS[0]
    if partition is None or partition[0] not in SPLITS["all"]:
        return _REASONS[1]
    if partition[0] not in SPLITS[config.source.split]:
        return _OTHER_SPLIT
    if config.needs_landmarks and (points is None or not are_usable(points)):
        return _REASONS[3]
    return None


def _landmarks(source: CelebaSource) -> Table:
    return read_table(annotation_file(source, "list_landmarks_align_celeba"), len(LANDMARKS))


def _files(source: CelebaSource) -> tuple[dict[str, str] | None, int]:
    """The picture files of CelebA-HQ by CelebA's names and the number of bad rows; None for aligned CelebA."""
    if source.form == "aligned":
        return None, 0
    root = Path(source.root).expanduser()
    path = next((p for p in (root / MAPPING, root / "CelebAMask-HQ" / MAPPING) if p.is_file()), None)
    if path is None:
        raise _missing(source, MAPPING)
    _, *lines = read_lines(path) or [""]
    files: dict[str, str] = {}
    bad = 0
    for fields in filter(None, map(split, lines)):
        row = _MAPPING_ROW.fullmatch(" ".join(fields))
        if row is None or row[2] in files:
            bad += 1
        else:
            files[row[2]] = f"{int(row[1])}.jpg"
    if not files:
        raise damaged(path, "it has no usable row")
    return files, bad


def _missing(source: CelebaSource, what: str) -> DataError:
    return DataError(f"{source.root} has no {what}.\n{_OBTAIN.format(root=source.root)}")
