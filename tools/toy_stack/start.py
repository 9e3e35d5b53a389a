"""A finished stack to go on from: when the world changes, most of what its models know stays true."""

from pathlib import Path

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from open_clip import SimpleTokenizer
from safetensors.torch import load_file
from torch import nn

from ipai.errors import WeightsError
from tools.toy_stack.tokens import MERGES_FILE


def merges_of(stack: Path) -> list[tuple[str, str]]:
    """The merges of its tokenizer, most frequent first: every embedding of a text belongs to them."""
    tokenizer = SimpleTokenizer(bpe_path=str(stack / "instruction_encoder" / MERGES_FILE))
    return sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__)


def vae_of(stack: Path) -> AutoencoderKL:
    """Its VAE, in fp32; latents of an unchanged encoder are what the stack's other parts know."""
    vae: AutoencoderKL = AutoencoderKL.from_pretrained(stack / "vae", local_files_only=True)
    vae.register_to_config(shift_factor=0.0)  # which the first stacks left out, and PRX's pipeline adds
    return vae.float()


def fill(model: nn.Module, folder: Path) -> None:
    """Give a model the weights of a part.

    Raises:
        WeightsError: There is not one file of weights, or it is of other names or sizes.
    """
    files = sorted(folder.glob("*.safetensors"))
    if len(files) != 1:
        raise WeightsError(f"start: {folder} holds {len(files)} files of weights instead of one")
    try:
        model.load_state_dict({name: value.float() for name, value in load_file(files[0]).items()})
    except RuntimeError as error:
        raise WeightsError(f"start: {files[0]} does not fit the sizes of the toy stack ({error})") from error
