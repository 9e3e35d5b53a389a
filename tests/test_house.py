"""How the house is built: rooms stand in an order, and what belongs to one denoiser stays in its files."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the ground up. Whatever a room imports, inside of functions and for types too, lies below it.
ROOMS = (
    *(
        "errors",
        "extras",
        "tasks",
        "files",
        "records",
        "words",
        "schema",
        "llm",
        "pages",
        "image_io",
        "launch",
        "store",
        "objective",
        "adapter",
        "backbones",
    ),
    *("instructions", "data", "clip", "config", "conditioning", "runs", "toyworld", "caching", "pipeline"),
    *("training", "evaluation", "cluster", "app", "command_line", "help_text", "cli", "commands", "__main__"),
)
BUILDERS = (
    *("engine", "captions", "instructions", "teachers"),
    *(
        "celeba",
        "coco",
        "commoncanvas",
        "instantstyle",
        "journeydb",
        "own",
        "worded_style",
        "rendered",
        "registry",
        "build_all",
        "command",
        "publishing",
        "publish_command",
    ),
)
OF_ONE_DENOISER = re.compile(
    r"UNet\w*(?:Condition|Motion)Model|\w+Transformer2DModel|cross_attention_dim|CLIP-L\b|0\.18215"
)


def imports(path: Path) -> Iterator[str]:
    """Dotted names of everything that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[1].removesuffix(".py")


def climbing(package: str, rooms: tuple[str, ...]) -> list[str]:
    """The imports of a package that run from a room to one above it."""
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        room = room_of(path)
        if room == "__init__":
            continue
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == package and rooms.index(parts[1]) > rooms.index(room):
                found.append(f"{path.relative_to(ROOT)} imports {name}")
    return found


@pytest.mark.parametrize(("package", "rooms"), [("ipai", ROOMS), ("data_builders", BUILDERS)])
def test_no_import_runs_back_up(package: str, rooms: tuple[str, ...]) -> None:
    assert {room_of(path) for path in (ROOT / package).rglob("*.py")} - {"__init__"} == set(rooms)
    assert climbing(package, rooms) == []


def test_the_library_needs_nothing_beside_itself() -> None:
    others = {"data_builders", "scripts", "tests", "benchmarks", "tools"}
    assert not [path for path in (ROOT / "ipai").rglob("*.py") if {n.split(".")[0] for n in imports(path)} & others]
    others = {"scripts", "tests", "benchmarks", "tools"}
    builders = (ROOT / "data_builders").rglob("*.py")
    assert not [path for path in builders if {name.split(".")[0] for name in imports(path)} & others]


def test_what_belongs_to_one_denoiser_stays_with_it() -> None:
    """Hosts and families name classes, keys and numbers of a base model; nobody else does."""
    at_home = (ROOT / "ipai/backbones", ROOT / "ipai/adapter/hosts")
    found = {
        str(path.relative_to(ROOT)): match[0]
        for folder in ("ipai", "data_builders", "scripts")
        for path in (ROOT / folder).rglob("*.py")
        if not any(path.is_relative_to(home) for home in at_home)
        and (match := OF_ONE_DENOISER.search(path.read_text()))
    }
    assert found == {}


def test_nothing_else_decides_what_a_variant_is_told() -> None:
    """The adapter says what it can take, the configuration which there are, `conditioning` the rest."""
    decides = re.compile(r"spec\.instruction\b|instruction=\"none\"|variant == ")
    allowed = {"conditioning.py", "config.py", "evaluation/evaluated_run.py"}  # the last makes the deaf baseline
    found = {
        path.relative_to(ROOT / "ipai").as_posix()
        for path in (ROOT / "ipai").rglob("*.py")
        if not path.is_relative_to(ROOT / "ipai/adapter") and decides.search(path.read_text())
    }
    assert found <= allowed
