"""Going on from any adapter: a run, a file, something on the hub (`train.init_from`)."""

import logging
from dataclasses import asdict

from ipai.adapter.adapter import InstructAdapter, initialise
from ipai.adapter.formats import load_ip_adapter_plus, load_state_strict
from ipai.conditioning import Conditioning
from ipai.errors import WeightsError
from ipai.pipeline.sources import adapter_file, load, locate_adapter

log = logging.getLogger(__name__)


def start_from(adapter: InstructAdapter, source: str, seed: int, init_sigma: float) -> None:
    """Fill an adapter with the weights of another.

    Args:
        adapter: Of the sizes that the run wants.
        source: A run folder (its moving average, if it has one), an exported one, a file, or a hub id. From an
            IP-Adapter Plus the new branch starts silent, as from `base.adapter_init`.
        seed, init_sigma: Of that new branch.

    Raises:
        WeightsError: It is not there, or of other sizes; each difference is named.
    """
    path = adapter_file(locate_adapter(source))
    found = load(path).adapter
    if Conditioning(adapter.spec).is_told and not Conditioning(found.spec).is_told:
        load_ip_adapter_plus(adapter, path)
        initialise(adapter, seed, init_sigma)
        log.info("starting from the IP-Adapter Plus %s, with a new branch", path)
        return
    ours, theirs = asdict(adapter.spec), asdict(found.spec)
    differing = [f"{name}: {theirs[name]} there, {value} here" for name, value in ours.items() if theirs[name] != value]
    if differing:
        raise WeightsError(
            f"train.init_from={source} is an adapter of another kind or size:\n  " + "\n  ".join(differing) + "\n"
            "choose the adapter= and base= that it was trained with"
        )
    load_state_strict(adapter, found.state_dict(), str(path))
    log.info("starting from %s", path)
