#!/usr/bin/env bash
# The cells of the paper's Figure 9 on two condition images of your own: a row each, a column a task. The prompts and the
# objects are the paper's; its two condition images were not released: they show a bird, and a zebra.
#   examples/paper-figures/figure-9.sh runs/joint-paper bird.png zebra.png [steps=50 device=cuda ...]
set -euo pipefail
generate=${GENERATE:-ipai generate}
checkpoint=$1 first=$2 second=$3
shift 3

cell() { # row, task, condition, instruction, prompt
  $generate checkpoint="$checkpoint" image="$3" task="$2" instruction="$4" prompt="$5" output="figure-9-$1-$2.png" ${more[@]+"${more[@]}"}
}

more=("$@")
cell 1 copy "$first" "use everything from the image" "A flying phoenix"
cell 1 style "$first" "use the style" "A bird house"
cell 1 object "$first" "use the bird" "A bird with a rock"
cell 1 structure "$first" "use the composition" "A tabby cat"
cell 1 face "$first" "use the face" "A girl with hat and scarf"
cell 2 copy "$second" "use everything from the image" "A round house in winter"
cell 2 style "$second" "use the style" "A chest full of rich clothing"
cell 2 object "$second" "use the zebra" "A palm tree like a zebra"
cell 2 structure "$second" "use the composition" "A dog's face"
cell 2 face "$second" "use the face" "A woman holding a sword"
