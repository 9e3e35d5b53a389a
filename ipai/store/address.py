"""Addresses of object stores: what is taken, and that none holds a secret. Imports nothing slow."""

from collections.abc import Iterator

PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "file": "fsspec"}
"""What is taken before `://`, and the package that reads it."""


def is_url(root: str) -> bool:
    """Whether `root` is an address rather than a folder; a colon before the first slash makes it one."""
    return ":" in root.split("/")[0]


def address_problems(root: str) -> Iterator[str]:
    """Why an address cannot be taken, without repeating what may be a secret."""
    kind, separator, rest = root.partition("://")
    if not separator or kind not in PACKAGES:
        yield f"data.root={kind.split(':')[0]}:... is none of {'://, '.join(PACKAGES)}:// and no local folder"
    elif not rest.strip("/"):
        yield f"data.root={root} names no bucket"
    elif "@" in rest.split("/")[0] or "?" in rest or "#" in rest:
        # Whatever stands here is written to config.yaml, logs and wandb.
        yield (
            f"data.root={kind}://... holds a user, a password or a query; give the plain address, and the credentials "
            "in the environment (AWS_PROFILE, GOOGLE_APPLICATION_CREDENTIALS, HF_TOKEN) or in fsspec's configuration"
        )
    elif "::" in rest or ".." in rest.split("/"):
        yield f"data.root={root} is chained or climbs; give the plain address of the folder"
