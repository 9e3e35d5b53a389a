"""A miniature of LLaVA: random weights, a vocabulary of words, and the files of the real one."""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Punctuation, WhitespaceSplit
from tokenizers.pre_tokenizers import Sequence as InTurn
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

_SIDE, _PATCH = 32, 16
_SPECIAL = ("<unk>", "<pad>", "<s>", "</s>", "<image>")
_WORDS = (
    *("USER", "ASSISTANT", ":", "Does", "this", "figure", "show", "a", "cat", "dog", '"', "?"),
    *("Please", "answer", "or", "no", "."),
)
_TEMPLATE = (
    "{% for message in messages %}USER : {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %} ASSISTANT :{% endif %}"
)


def write_llava(folder: Path, yes: Sequence[str] = ("Yes", "yes")) -> Path:
    """Write it; `yes` are the words of its vocabulary that say so."""
    vocabulary = {word: index for index, word in enumerate((*_SPECIAL, *_WORDS, *yes))}
    words = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = InTurn([WhitespaceSplit(), Punctuation()])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        additional_special_tokens=["<image>"],
    )  # fmt: skip
    LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": _SIDE}, crop_size={"height": _SIDE, "width": _SIDE}),
        tokenizer=tokenizer, patch_size=_PATCH, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=_TEMPLATE,
    ).save_pretrained(folder)  # fmt: skip
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**small, image_size=_SIDE, patch_size=_PATCH),
        text_config=LlamaConfig(**small, vocab_size=len(vocabulary), num_key_value_heads=2),
        image_token_index=vocabulary["<image>"],
    )
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return folder
