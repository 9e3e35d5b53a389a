"""Which faces CelebA lists: where its files are, and their join over the name of the picture."""

import logging
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from data_builders.celeba.config import SPLITS, CelebaSource, FaceBuild
from data_builders.celeba.geometry import LANDMARKS, are_usable
from data_builders.celeba.tables import Table, damaged, read_lines, read_table, split
from ipai.errors import DataError

MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
_PNG_FOLDER = "img_align_celeba_png"
_SHORTEST = 0.8  # of the longest table: the authors' name the same pictures
# Bytes of the authors' files. One that has nearly so many is theirs, cut or changed.
_KNOWN = {
    "identity_CelebA.txt": 3_424_458,
    "list_eval_partition.txt": 2_836_386,
    "list_attr_celeba.txt": 26_721_026,
    "list_landmarks_align_celeba.txt": 12_156_055,
}
_NEARLY = 0.2
_MAPPING_ROW = re.compile(r"(\d{1,8}) \d+ (\d{1,8}\.jpg)")

log = logging.getLogger(__name__)

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
    folder = picture_folder(source)
    files, bad_mapping = _files(source)
    identities = read_table(annotation_file(source, "identity_CelebA"), 1)
    partitions = read_table(annotation_file(source, "list_eval_partition"), 1)
    landmarks = _landmarks(source) if config.needs_landmarks else None
    _refuse_short_tables(
        {"identity_CelebA": identities, "list_eval_partition": partitions}
        | ({"list_landmarks_align_celeba": landmarks} if landmarks else {})
    )
    counts: Counter[str] = Counter()
    faces: list[Face] = []
    pngs = folder.name == _PNG_FOLDER

    def renamed(name: str) -> str:
        return f"{name.partition('.')[0]}.png" if pngs else name

    for name in sorted(identities.rows if files is None else files):
        values = [table.rows.get(name) for table in (identities, partitions)]
        points = landmarks.rows.get(name) if landmarks else None
        why = _why_not(values[0], values[1], points, config)
        counts[why or "faces"] += 1
        if why is None:
            assert values[0] is not None
            assert values[1] is not None
            faces.append(Face(name, files[name] if files else renamed(name), values[0][0], values[1][0], points))
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
            path = folder / f"{stem}{ending}"
            if path.is_file():
                _warn_of_other_size(path)
                return path
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
        places += [root / _PNG_FOLDER, root / "Img" / _PNG_FOLDER]  # the same pictures without loss
    for place in places:
        if place.is_dir():
            return place
    wanted = "CelebA-HQ-img" if source.form == "hq" else "img_align_celeba"
    raise _missing(source, f"folder {wanted}")


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


def _warn_of_other_size(path: Path) -> None:
    known, size = _KNOWN.get(path.name, 0), path.stat().st_size
    if size != known and size > _NEARLY * known > 0:
        log.warning("%s has %s bytes, and the authors' has %s: it may be cut short or changed", path, size, known)


def _refuse_short_tables(tables: dict[str, Table]) -> None:
    """Raise a DataError if one names far fewer pictures than another: it was cut, or is of another data set."""
    sizes = {name: len(table.rows) + table.bad_rows for name, table in tables.items()}
    longest = max(sizes, key=lambda name: sizes[name])
    for name, size in sizes.items():
        if size < _SHORTEST * sizes[longest]:
            raise DataError(
                f"{name} has {size:,} rows, and {longest} {sizes[longest]:,}: it was cut short on its way. Download it "
                "anew and repeat the command; for a part of CelebA on purpose, leave the same rows out of both"
            )


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
    files: dict[str, str] = {}
    bad = 0
    for number, fields in enumerate(filter(None, map(split, read_lines(path)))):
        row = _MAPPING_ROW.fullmatch(" ".join(fields[:3]))  # Karras' list has sums of the pictures besides
        if row is None and number == 0:
            continue  # a header, which some copies have
        if row is None or row[2] in files:
            bad += 1
        else:
            files[row[2]] = f"{int(row[1])}.jpg"
    if not files:
        raise damaged(path, "it has no usable row")
    return files, bad


def _missing(source: CelebaSource, what: str) -> DataError:
    return DataError(f"{source.root} has no {what}.\n{_OBTAIN.format(root=source.root)}")
