"""Using an adapter: `attach(pipeline, adapter)` to a diffusers pipeline, then call that as always."""

from ipai.pipeline.attaching import attach
from ipai.pipeline.attachment import Attachment
from ipai.pipeline.encoding import Condition
from ipai.pipeline.guidance import FourPass

__all__ = ["Attachment", "Condition", "FourPass", "attach"]
