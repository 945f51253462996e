"""Configurations that run in milliseconds."""

TINY = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 8,
    "out_channels": 8,
    "text_dim": 16,
    "ffn_dim": 32,
    "num_layers": 2,
}
"""A transformer that runs in milliseconds; its head width is the release's golden one."""

FULL = TINY | {
    "camera": "rays",
    "prediction": "clean",
    "per_frame_noise_level": True,
    "stem_channels": 8,
    "motion_channels": 8,
    "action_channels": 8,
    "word_pickers": 2,
    "pixels_per_token": 16,
    "bias_frames": 3,
    "max_views": 2,
}
"""The same with every addition for training from scratch."""


def tiny_tokenizer():
    """A word-level tokenizer with an end-of-text token, as UMT5's has."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = ["<pad>", "</s>", "<unk>", "pick", "up", "the", "red", "cup", "push", "pull", "open"]
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def tiny_umt5():
    """UMT5's encoder in a few kilobytes, the same in every call."""
    import torch
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    return UMT5EncoderModel(
        UMT5Config(vocab_size=11, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    ).eval()


def tiny_language_model():
    """The release's kind of text encoder, tiny."""
    from action_images.model.text import LanguageModel

    return LanguageModel(tiny_tokenizer(), tiny_umt5())
