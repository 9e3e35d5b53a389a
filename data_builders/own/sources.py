"""The forms that one's own pictures may have."""

from collections.abc import Callable

from data_builders.own.config import OwnSource
from data_builders.own.folder import FolderPictures
from data_builders.own.hugging_face import HuggingFacePictures
from data_builders.own.rows import Pictures
from data_builders.own.tar_shards import ShardPictures

_FORMS: dict[str, Callable[[OwnSource], Pictures]] = {
    "folder": FolderPictures,
    "webdataset": ShardPictures,
    "huggingface": HuggingFacePictures,
}


def pictures_of(source: OwnSource) -> Pictures:
    """The source in the form that its settings name."""
    return _FORMS[source.form](source)
