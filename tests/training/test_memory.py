"""The estimate of a step's memory against what the process really takes."""

import os
import subprocess
import sys

import pytest

# Large blocks go back to the system at once, so that what is resident is what is alive.
ENVIRONMENT = os.environ | {
    "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1",
}  # fmt: skip
PROGRAM = """
import sys
from pathlib import Path

import torch

from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.hosts.inject import inject
from ipai.backbones.families import family_of, find_networks
from ipai.conditioning import Conditioning, spec_of
from ipai.training.memory import _rows, estimate
from ipai.training.predictor import NoisePredictor, repeated
from tests.helpers.composing import compose

base, batch, *options = sys.argv[1:]
config, batch = compose("data.root=none", "recipe=smoke", f"base={base}", *options), int(batch)
found, family = find_networks(config.base), family_of(config.base)
spec, dims = spec_of(config.adapter, config.base, found.dims), found.dims
network = found.configs[family.denoising]
estimated = estimate(found, spec, torch.float32, batch, loaded={family.denoising: True}, averaged=False).step
denoiser = type(network).from_config(network.config).requires_grad_(False)
predictor = NoisePredictor(inject(denoiser, InstructAdapter(spec)))


def inputs(count):
    return {
        "noisy_latents": torch.randn(count, *dims.latent_shape),
        "timesteps": torch.zeros(count, dtype=torch.long),
        "prompt_arguments": repeated(family.example_prompt(dims), count),
        "cond_tokens": torch.randn(count, dims.image_tokens, dims.image_dim),
        **{name: _rows(value, count) for name, value in Conditioning(spec).example().items()},
    }


def step(count):
    prediction, _ = predictor(**inputs(count))
    prediction.square().mean().backward()


def memory(name):
    return 1024 * int(next(line for line in open("/proc/self/status") if line.startswith(name)).split()[1])


step(1)  # what is made once, by the libraries
predictor.zero_grad()
before = memory("VmRSS:")
Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
step(batch)
print(estimated, memory("VmHWM:") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("base", "batch", "options"),
    [("toy", 64, []), pytest.param("micro_sd3", 256, ["objective=flow"], marks=pytest.mark.long)],
)
def test_a_real_step_takes_what_was_estimated(base: str, batch: int, options: list[str]) -> None:
    command = [sys.executable, "-c", PROGRAM, base, str(batch), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    estimated, measured = map(int, done.stdout.split()[-2:])
    assert measured > 100 << 20
    assert estimated == pytest.approx(measured, rel=0.1), (
        f"{estimated / 2**20:.0f} MiB, {measured / 2**20:.0f} measured"
    )
