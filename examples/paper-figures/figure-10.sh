#!/usr/bin/env bash
# The cells of the paper's Figure 10: a style with the scribble ControlNet, a face with the openpose ControlNet. Prompts and
# ControlNets are the paper's; condition images, scribbles and poses are yours.
#   examples/paper-figures/figure-10.sh runs/joint-paper style.png scribble.png face.png pose.png [steps=50 device=cuda ...]
set -euo pipefail
generate=${GENERATE:-ipai generate}
checkpoint=$1 style=$2 scribble=$3 face=$4 pose=$5
shift 5

cell() { # name, task, condition, instruction, prompt, ControlNet, its image
  $generate checkpoint="$checkpoint" image="$3" task="$2" instruction="$4" prompt="$5" controlnet="$6" \
    controlnet_image="$7" output="figure-10-$1.png" ${more[@]+"${more[@]}"}
}

more=("$@")
scribbles=lllyasviel/sd-controlnet-scribble poses=lllyasviel/control_v11p_sd15_openpose
cell oyster style "$style" "use the style" "Oyster with a pearl" $scribbles "$scribble"
cell mountain style "$style" "use the style" "Mountain explosion" $scribbles "$scribble"
cell chef face "$face" "use the face" "Female Chef" $poses "$pose"
cell firefighter face "$face" "use the face" "Female Firefighter" $poses "$pose"
