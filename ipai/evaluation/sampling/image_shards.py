"""Pictures in tar shards that appear whole: what is there need not be drawn again, whenever the drawing was killed."""

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ipai.errors import DataError
from ipai.evaluation.sampling.eval_samples import EvalSample, EvalSource
from ipai.files import atomic_path


@dataclass(frozen=True)
class Part:
    """Some questions of one source and the shard that their pictures go to."""

    path: Path
    source: EvalSource
    questions: list[EvalSample]


def parts_of(folder: Path, sources: Sequence[EvalSource], size: int) -> list[Part]:
    """The shards `<source>-000000.tar`... of `size` pictures each, below `folder`."""
    return [
        Part(folder / f"{source.name}-{number:06d}.tar", source, source.questions[start : start + size])
        for source in sources
        for number, start in enumerate(range(0, len(source.questions), size))
    ]


def write_part(part: Part, pictures: Sequence[Image.Image]) -> None:
    """Write a shard, `<name>.png` and `<name>.json` for each picture, whole or not at all; equal ones, equal bytes."""
    with atomic_path(part.path) as aside, tarfile.open(aside, "w", format=tarfile.USTAR_FORMAT) as tar:
        for question, picture in zip(part.questions, pictures, strict=True):
            stream = io.BytesIO()
            picture.save(stream, "PNG")
            asked = {"prompt": question.prompt, "instruction": question.instruction, "seed": question.seed}
            record = json.dumps(asked, sort_keys=True, ensure_ascii=False).encode()
            for suffix, content in (("json", record), ("png", stream.getvalue())):
                member = tarfile.TarInfo(f"{question.name}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def read_part(part: Part) -> Iterator[tuple[EvalSample, bytes]]:
    """Each question with its picture's PNG.

    Raises:
        DataError: The shard is damaged, or a picture is missing from it.
    """
    try:
        with tarfile.open(part.path, "r:") as tar:
            found = {member.name: member for member in tar}
            for question in part.questions:
                member = found.get(f"{question.name}.png")
                file = tar.extractfile(member) if member is not None else None
                if file is None:
                    raise DataError(
                        f"the picture of {part.source.name}/{question.name} is missing from {part.path}; delete that "
                        "file and run the same command again"
                    )
                yield question, file.read()
    except (OSError, tarfile.TarError, EOFError) as error:
        raise DataError(f"{part.path} is missing or damaged ({error}); delete it and run the command again") from error
