"""An adapter in the transformer of FLUX.1, through diffusers' own image attention in its double-stream blocks."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from diffusers.models.transformers.transformer_flux import FluxIPAdapterAttnProcessor, FluxTransformer2DModel
from torch import Tensor, nn

from ipai.adapter.attentions import BiasedKeysValues, ImageAttention
from ipai.adapter.hosts.injection import Site
from ipai.adapter.hosts.processors import JointInjection

TRANSFORMERS = (FluxTransformer2DModel,)
_TIME_UNITS = 1000  # the transformer takes times from 0 to 1


class FluxInjection(JointInjection):
    """Image attentions of the latents' queries in the double-stream blocks of a FLUX transformer."""

    called = "FLUX transformer"
    attention = "biased"

    @staticmethod
    def start(denoiser: Any, site: Site, layer: ImageAttention) -> None:  # noqa: ARG004
        """So that nothing is changed yet: keys as they were made, values zero."""
        assert isinstance(layer, BiasedKeysValues)
        layer.to_v_ip.weight.zero_()
        layer.to_v_ip.bias.zero_()

    def predict(
        self, noisy_latents: Tensor, timesteps: Tensor, prompt_arguments: Mapping[str, Any], tokens: Sequence[Tensor]
    ) -> Tensor:
        """See `Injection.predict`."""
        device, length = noisy_latents.device, self.prompt_of(prompt_arguments).shape[1]
        arguments = self.with_tokens(prompt_arguments, self.prepared(tokens))
        output = self.denoiser(
            hidden_states=_packed(noisy_latents),
            timestep=timesteps / _TIME_UNITS,
            img_ids=_places(noisy_latents),
            txt_ids=torch.zeros(length, 3, device=device),
            **arguments,
            return_dict=False,
        )[0]
        return _unpacked(output, noisy_latents)

    def _made(self, index: int) -> Any:
        spec = self.adapter.spec
        with torch.device("meta"):  # the weights it makes are replaced: no memory for them, no random number drawn
            return FluxIPAdapterAttnProcessor(self._sites[index].size, spec.token_dim, (spec.num_queries,))

    def _place(self, number: int, layers: Sequence[ImageAttention]) -> None:
        processor = cast(Any, self._processors[number])
        processor.to_k_ip = nn.ModuleList([cast(BiasedKeysValues, layer).to_k_ip for layer in layers])
        processor.to_v_ip = nn.ModuleList([cast(BiasedKeysValues, layer).to_v_ip for layer in layers])

    def _scale(self, number: int, scales: list[float]) -> None:
        cast(Any, self._processors[number]).scale = scales


def _packed(latents: Tensor) -> Tensor:
    """Squares of 2 x 2 latents as tokens: [B, C, h, w] to [B, h w / 4, 4 C]."""
    squares = latents.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # [B, C, h/2, 2, w/2, 2]
    return squares.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def _unpacked(tokens: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_packed`."""
    channels, height, width = like.shape[1:]
    squares = tokens.unflatten(1, (height // 2, width // 2)).unflatten(3, (channels, 2, 2))
    return squares.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


def _places(latents: Tensor) -> Tensor:
    """Where each token lies: 0, row and column, [h w / 4, 3]."""
    rows, columns = (torch.arange(size // 2, device=latents.device) for size in latents.shape[2:])
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).flatten(0, 1)
    return torch.cat([torch.zeros_like(grid[:, :1]), grid], dim=1).float()
