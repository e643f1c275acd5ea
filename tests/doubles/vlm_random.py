"""Small randomly initialised vision-language models of the real classes, saved as published ones.

Each has a byte tokenizer, its family's own processor and chat template, and is loaded back through
the product's own path.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

WIDTH = 32  # of the language side
LANGUAGE = {
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
}
EYES = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}PICTURE{% else %}{{ c['text'] }}{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SMOL = (
    "<|im_start|>{% for m in messages %}{{ m['role'] | capitalize }}"
    "{{ ':' if m['content'][0]['type'] == 'image' else ': ' }}{% for c in m['content'] %}"
    "{% if c['type'] == 'text' %}{{ c['text'] }}{% else %}<image>{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
GEMMA = (  # the system's words begin the first turn; words are trimmed
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{% set first = messages[0]['content'][0]['text'] + '\n\n' %}{% set told = messages[1:] %}"
    "{% else %}{% set first = '' %}{% set told = messages %}{% endif %}{% for m in told %}"
    "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ first if loop.first else '' }}{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<start_of_image>{% else %}{{ c['text'] | trim }}{% endif %}{% endfor %}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)

NOTHING = "\u200b"  # a space without width: words to a grammar, nothing to a search

WORDS = (  # of scripts: one token each
    NOTHING,
    "I see ",
    "[the cat](100,100,600,600)",
    "<search>",
    "<region>",
    "<image>",
    "</search>",
    "cat ",
    " It is a cat.",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "a cat",
    "<|mt_start|>",
    "<|mt_0003|>",
    "<|mt_0265|>",
    "<|mt_end|>",
)


def byte_tokenizer(end: str, named: dict[str, str], others: tuple[str, ...] = ()) -> Any:
    """One token a byte, special ones, names by which a processor asks for them, and WORDS."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={c: n for n, c in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token=end,
        bos_token="<bos>",
        pad_token=end,
        extra_special_tokens=named,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(others)})
    tokenizer.add_tokens([word for word in WORDS if word not in tokenizer.get_vocab()])
    return tokenizer


CODES = ("<|mt_start|>", "<|mt_0003|>", "<|mt_0265|>", "<|mt_end|>")
Script = Mapping[str, Sequence[str]]  # a token's text -> what follows it, likeliest first


def save(family: str, folder: Path, script: Script | None = None, seed: int = 0) -> Any:
    """Make a model of a family, save it with its processor; returns the model.

    With a script it writes by its last token alone, whatever it sees.
    """
    torch.manual_seed(seed)
    model, processor = FAMILIES[family]()
    model = model.eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(torch.randn_like(value) * 0.05)  # biases and norms are constants otherwise
        if script is not None:
            follow(model, processor.tokenizer, script)
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model


def follow(model: Any, tokenizer: Any, script: Script) -> None:
    """Set the weights so that each token of a script is followed as told.

    What layers add to a token is taken away, and the output layer maps the token's own state to
    the logits: 10 for the first that may follow, 9 for the second, and so on.
    """
    for name, value in model.named_parameters():
        if name.endswith(("o_proj.weight", "out_proj.weight", "down_proj.weight")):
            value.zero_()
    known = {str(tokenizer.decode([number])): number for number in range(len(tokenizer))}
    wanted = torch.zeros(len(script), model.lm_head.weight.shape[0])
    for row, following in enumerate(script.values()):
        for rank, word in enumerate(following):
            wanted[row, known[word]] = 10.0 - rank
    told = torch.tensor([[known[word]] for word in script])
    states = model(input_ids=told, output_hidden_states=True).hidden_states[-1][:, 0]
    model.lm_head.weight.copy_(torch.linalg.lstsq(states, wanted).solution.T)


def smolvlm(idefics: bool = False) -> tuple[Any, Any]:
    """SmolVLM, or Idefics3, whose parts it renames; pictures are cut into squares of 32."""
    import transformers as tf

    tokenizer = byte_tokenizer(
        "<end_of_utterance>",
        {
            "image_token": "<image>",
            "fake_image_token": "<fake_token_around_image>",
            "global_image_token": "<global-img>",
        },
        ("<|im_start|>", "<video>", *(f"<row_{r}_col_{c}>" for r in (1, 2) for c in (1, 2))),
    )
    sizes = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
    config: dict[str, Any] = {
        "image_token_id": tokenizer.convert_tokens_to_ids("<image>"),
        "scale_factor": 2,
        "tie_word_embeddings": False,
        "text_config": {"model_type": "llama", "vocab_size": len(tokenizer), **LANGUAGE},
        "vision_config": {**EYES, "image_size": 32, "patch_size": 8},
    }
    if idefics:
        eyes = tf.Idefics3ImageProcessor(**sizes)
        processor = tf.Idefics3Processor(eyes, tokenizer, image_seq_len=4, chat_template=SMOL)
        return tf.Idefics3ForConditionalGeneration(tf.Idefics3Config(**config)), processor
    eyes = tf.SmolVLMImageProcessor(**sizes)
    films = tf.SmolVLMVideoProcessor()
    processor = tf.SmolVLMProcessor(eyes, tokenizer, films, image_seq_len=4, chat_template=SMOL)
    return tf.SmolVLMForConditionalGeneration(tf.SmolVLMConfig(**config)), processor


def idefics3() -> tuple[Any, Any]:
    """Idefics3."""
    return smolvlm(idefics=True)


QWEN_SPECIAL = ("<|im_start|>", "<|vision_start|>", "<|vision_end|>")


def _qwen(text: dict[str, Any], eyes: dict[str, Any]) -> tuple[dict[str, Any], Any, Any]:
    import transformers as tf

    tokenizer = byte_tokenizer(
        "<|im_end|>",
        {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
        QWEN_SPECIAL,
    )
    numbers = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(word)
        for name, word in (
            ("image", "<|image_pad|>"),
            ("video", "<|video_pad|>"),
            ("vision_start", "<|vision_start|>"),
            ("vision_end", "<|vision_end|>"),
        )
    }
    turning = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2]}
    config = {
        **numbers,
        "tie_word_embeddings": False,
        "text_config": {
            "vocab_size": len(tokenizer), "rope_parameters": turning, **LANGUAGE, **text,
        },
        "vision_config": {
            "depth": 2, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2,
            "patch_size": 8, "out_hidden_size": WIDTH, **eyes,
        },
    }  # fmt: skip
    pixels = {"shortest_edge": 16 * 16, "longest_edge": 64 * 64}
    pictures = tf.Qwen2VLImageProcessor(patch_size=8, merge_size=2, size=pixels)
    return config, pictures, tokenizer


QWEN_TEMPLATE = CHATML.replace("PICTURE", "<|vision_start|><|image_pad|><|vision_end|>")


def qwen2_5_vl() -> tuple[Any, Any]:
    """Qwen2.5-VL: positions in three directions, windowed eyes."""
    import transformers as tf

    config, pictures, tokenizer = _qwen({}, {"window_size": 32, "fullatt_block_indexes": [1]})
    processor = tf.Qwen2_5_VLProcessor(
        pictures, tokenizer, tf.Qwen2VLVideoProcessor(), chat_template=QWEN_TEMPLATE
    )
    return tf.Qwen2_5_VLForConditionalGeneration(tf.Qwen2_5_VLConfig(**config)), processor


def qwen3_vl() -> tuple[Any, Any]:
    """Qwen3-VL: positions in three directions, eyes that look in at several layers."""
    import transformers as tf

    eyes = {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
    config, pictures, tokenizer = _qwen({}, eyes)
    processor = tf.Qwen3VLProcessor(
        pictures, tokenizer, tf.Qwen3VLVideoProcessor(), chat_template=QWEN_TEMPLATE
    )
    return tf.Qwen3VLForConditionalGeneration(tf.Qwen3VLConfig(**config)), processor


def qwen3_5() -> tuple[Any, Any]:
    """Qwen3.5: three layers in four are of linear attention, whose state is written in place."""
    import transformers as tf

    text = {
        "layer_types": ["linear_attention", "full_attention"],
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 2,
    }
    config, pictures, tokenizer = _qwen(text, {"num_position_embeddings": 64})
    config["text_config"]["rope_parameters"]["partial_rotary_factor"] = 1.0
    processor = tf.Qwen3VLProcessor(
        pictures, tokenizer, tf.Qwen3VLVideoProcessor(), chat_template=QWEN_TEMPLATE
    )
    return tf.Qwen3_5ForConditionalGeneration(tf.Qwen3_5Config(**config)), processor


def internvl() -> tuple[Any, Any]:
    """InternVL: tiles of 32 pixels and the whole beside them."""
    import transformers as tf

    tokenizer = byte_tokenizer(
        "<|im_end|>",
        {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        ("<|im_start|>", "<ref>", "</ref>", "<box>", "</box>"),
    )
    config = tf.InternVLConfig(
        text_config={"model_type": "qwen2", "vocab_size": len(tokenizer), **LANGUAGE},
        vision_config={**EYES, "image_size": [32, 32], "patch_size": [8, 8]},
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        downsample_ratio=0.5,
        tie_word_embeddings=False,
    )
    eyes = tf.GotOcr2ImageProcessor(
        size={"height": 32, "width": 32}, crop_to_patches=True, max_patches=4
    )
    template = CHATML.replace("PICTURE", "<IMG_CONTEXT>\n")
    processor = tf.InternVLProcessor(
        eyes, tokenizer, tf.InternVLVideoProcessor(), image_seq_length=4, chat_template=template
    )
    return tf.InternVLForConditionalGeneration(config), processor


def gemma3() -> tuple[Any, Any]:
    """Gemma 3: a sliding window shorter than the conversation, pictures read in both directions."""
    import transformers as tf

    tokenizer = byte_tokenizer(
        "<end_of_turn>",
        {
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
            "image_token": "<image_soft_token>",
        },
        ("<start_of_turn>",),
    )
    config = tf.Gemma3Config(
        text_config={
            "vocab_size": len(tokenizer), "sliding_window": 24, "query_pre_attn_scalar": 16,
            "layer_types": ["sliding_attention", "full_attention"], **LANGUAGE,
        },
        vision_config={**EYES, "image_size": 32, "patch_size": 8},
        mm_tokens_per_image=4,
        tie_word_embeddings=False,
        boi_token_index=tokenizer.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=tokenizer.convert_tokens_to_ids("<end_of_image>"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image_soft_token>"),
    )  # fmt: skip
    eyes = tf.Gemma3ImageProcessor(size={"height": 32, "width": 32})
    processor = tf.Gemma3Processor(eyes, tokenizer, image_seq_length=4, chat_template=GEMMA)
    return tf.Gemma3ForConditionalGeneration(config), processor


FAMILIES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "smolvlm": smolvlm,
    "idefics3": idefics3,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "qwen3_5": qwen3_5,
    "internvl": internvl,
    "gemma3": gemma3,
}
PROMPT_ENDS = {  # the last token of a prompt, and the token that ends an answer
    "smolvlm": (":", "<end_of_utterance>"),
    "idefics3": (":", "<end_of_utterance>"),
    "qwen2_5_vl": ("\n", "<|im_end|>"),
    "qwen3_vl": ("\n", "<|im_end|>"),
    "qwen3_5": ("\n", "<|im_end|>"),
    "internvl": ("\n", "<|im_end|>"),
    "gemma3": ("\n", "<end_of_turn>"),
}


def mask_codes(family: str) -> dict[str, list[str]]:
    """The same, the cat's mask as SAMTok's codes."""
    told = look_up(family)
    written = "<|object_ref_start|>", "a cat", "<|object_ref_end|>", *CODES
    told |= {word: [after] for word, after in pairwise(("I see ", *written, "<search>"))}
    return told | {"</search>": ["I see "]}


def look_up(family: str) -> dict[str, list[str]]:
    """See the cat, look its region up, tell, end."""
    start, end = PROMPT_ENDS[family]
    return {
        start: ["I see "],
        "I see ": ["[the cat](100,100,600,600)"],
        "[the cat](100,100,600,600)": ["<search>"],
        "<search>": ["<region>"],
        "<region>": ["</search>"],
        "</search>": ["I see "],
        ">": [" It is a cat."],
        " It is a cat.": [end],
    }
