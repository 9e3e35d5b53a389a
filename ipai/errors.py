"""The errors a user of ipai can meet. Each message says what is wrong, where, and what to do about it."""


class IpaiError(Exception):
    """Base of every error that ipai raises on purpose; the commands show its message without a traceback."""


class ConfigError(IpaiError):
    """A configuration key is unknown, or a combination of values is impossible."""


class DataError(IpaiError):
    """A shard, a sample, an image or a source cannot be used."""


class SampleError(DataError):
    """One sample cannot be used; `reason` is a short word for counting. Training takes another in its place."""

    def __init__(self, reason: str, details: str) -> None:
        super().__init__(f"{reason}: {details}")
        self.reason = reason

    def __reduce__(self) -> "tuple[type[SampleError], tuple[str, str]]":
        """Survive the way from a loader's worker process."""
        return type(self), (self.reason, str(self).removeprefix(f"{self.reason}: "))


class StoreError(DataError):
    """The object store that holds the shards is lost, or what it sends cannot be kept; a later start may do better."""


class InstructionError(IpaiError):
    """An instruction pool or an instruction breaks the rules (key words, slots, duplicates)."""


class WeightsError(IpaiError):
    """Model weights cannot be found, or do not have the names and shapes that the model needs."""


class CheckpointError(IpaiError):
    """A checkpoint or a run folder is incomplete, foreign, or in use by another process."""


class NonFiniteLossError(IpaiError):
    """The training loss became NaN or infinite; the message names the samples of the step."""
