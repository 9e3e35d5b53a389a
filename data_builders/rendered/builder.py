"""The builder of every task's rendered pairs."""

from PIL import Image

from data_builders.engine.card import rendered
from data_builders.engine.image_files import encode_jpeg
from data_builders.engine.records import Record, Sample, Selection, Source
from data_builders.rendered.config import RenderedBuild
from data_builders.rendered.pairs import draw_pair


class RenderedBuilder:
    """Pairs of the toy world; there is no source to read."""

    name = "rendered"
    version = 1

    def __init__(self, config: RenderedBuild) -> None:
        self.config = config

    def select(self) -> Selection:
        """As many records as `samples` asks for."""
        records = [
            Record(f"{self.config.task}-{index:08d}", str(index), {"index": index})
            for index in range(self.config.samples)
        ]
        return Selection(records, len(records), {})

    def make(self, record: Record) -> Sample:
        """Draw the pair of the record's number."""
        config, index = self.config, record.fields["index"]
        zoom = config.zoom.fraction, config.zoom.scale
        pair = draw_pair(config.task, config.seed, index, config.image_size, zoom, config.scenes)
        condition = pair.condition
        return Sample(
            target=encode_jpeg(Image.fromarray(pair.target), config.jpeg_quality),
            condition=None if condition is None else encode_jpeg(Image.fromarray(condition), config.jpeg_quality),
            prompt=pair.prompt,
            cond_prompt=pair.cond_prompt,
            slot=pair.slot,
            source=Source("ipai-toy-world", f"{config.seed}/{index}", {"name": "Apache-2.0", "url": ""}, None),
            generation=None,
            scores={},
        )

    def card(self) -> str:
        """Says that no picture is a photograph."""
        return rendered("rendered")
