#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains a GGUF model with PyTorch on rows that are tokens already, as a reference for `pumice train`.

Needs torch, transformers, gguf and numpy (pip install torch transformers gguf). Prints, for every step, one JSON object
with the names of pumice's log: step, loss (token mean over the step, before its update), grad_norm (before clipping),
learning_rate, conversations, tokens, trained_tokens, seconds.

Rows are those `pumice tokenize --model M --data F` prints: {"ids": [...], "mask": [...]}, one a line; mask[i] says that
token i is trained (predicted from those before it). A step takes --batch rows in the order of the file, each on its
own (nothing is packed or padded), and divides the summed loss by the trained tokens of the whole step.

example: build/pumice tokenize --model models/SmolLM2-135M-Instruct.Q4_1.gguf --data data/math.jsonl --json > rows.jsonl
         tools/torch-reference.py --model models/SmolLM2-135M-Instruct.Q4_1.gguf --rows rows.jsonl --steps 10
"""
import argparse
import json
import math
import sys
import time

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from transformers import LlamaConfig, LlamaForCausalLM

# GGUF's names of a layer's tensors, and the model's.
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
OTHER_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def gguf_name(name):
    """The model's name of a GGUF tensor, or None for one that is no weight."""
    parts = name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{LAYER_NAMES[parts[2]]}.{parts[3]}"
    return f"{OTHER_NAMES[parts[0]]}.{parts[1]}" if parts[0] in OTHER_NAMES else None


def rows_in_order(weights, heads):
    """Undoes GGUF's order of the rows of q and k: there the two halves of a head that rotary pairs are interleaved."""
    half = weights.shape[0] // heads // 2
    return weights.reshape(heads, half, 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def load_gguf(path, attention="eager"):
    """The model in a GGUF file, dequantised to float32; attention: transformers' name of an implementation."""
    reader = GGUFReader(path)
    field = {name: value.contents() for name, value in reader.fields.items() if not name.startswith("tokenizer.")}
    if field["general.architecture"] != "llama":
        sys.exit(f"{path}: a {field['general.architecture']} model; this reference knows llama only")
    names = {tensor.name for tensor in reader.tensors}
    heads, key_heads = field["llama.attention.head_count"], field["llama.attention.head_count_kv"]
    config = LlamaConfig(
        vocab_size=field["llama.vocab_size"],
        hidden_size=field["llama.embedding_length"],
        intermediate_size=field["llama.feed_forward_length"],
        num_hidden_layers=field["llama.block_count"],
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        rms_norm_eps=field["llama.attention.layer_norm_rms_epsilon"],
        rope_theta=field["llama.rope.freq_base"],
        max_position_embeddings=field["llama.context_length"],
        tie_word_embeddings="output.weight" not in names,
        attn_implementation=attention,
    )
    model = LlamaForCausalLM(config).float()
    parameters = dict(model.named_parameters())
    missing = set(parameters)
    with torch.no_grad():
        for tensor in reader.tensors:
            name = gguf_name(tensor.name)
            if name is None:
                continue
            weights = np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
            if ".attn_q." in tensor.name or ".attn_k." in tensor.name:
                weights = rows_in_order(weights, heads if ".attn_q." in tensor.name else key_heads)
            parameters[name].copy_(torch.from_numpy(weights).reshape(parameters[name].shape))
            missing.discard(name)
    if missing:
        sys.exit(f"{path}: has no {', '.join(sorted(missing))}")
    return model


def load_rows(path, max_length):
    """[(ids, mask)] of a file, cut at max_length tokens."""
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    return [(row["ids"][:max_length], row["mask"][:max_length]) for row in rows]


def row_loss(model, ids, mask):
    """The summed loss of a row's trained tokens and their number; token 0 has nothing to be predicted from."""
    tokens = torch.tensor([ids])
    labels = torch.tensor(ids[1:])
    trained = torch.tensor([bool(m) for m in mask[1:]])
    logits = model(input_ids=tokens).logits[0, :-1]
    losses = torch.nn.functional.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), labels, reduction="none")
    return losses[trained].sum(), int(trained.sum())


def decay_groups(model, weight_decay):
    """AdamW's parameter groups: decay for matrices, none for norms and biases."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]


def learning_rate(step, steps, peak, kind, warmup):
    """Hugging Face's schedules; the first step is step 0."""
    if step < warmup:
        return peak * step / max(1, warmup)
    done = (step - warmup) / max(1, steps - warmup)
    if kind == "cosine":
        return peak * max(0.0, 0.5 * (1 + math.cos(math.pi * done)))
    return peak * max(0.0, 1 - done) if kind == "linear" else peak


def train_step(model, optimizer, rows, clip):
    """One optimizer step on rows: (loss, norm before clipping, trained tokens)."""
    optimizer.zero_grad(set_to_none=True)
    trained = sum(sum(1 for m in mask[1:] if m) for _, mask in rows)
    total = 0.0
    for ids, mask in rows:
        loss, count = row_loss(model, ids, mask)
        if count:
            (loss / trained).backward()
            total += loss.item()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip if clip > 0 else math.inf).item()
    optimizer.step()
    return total / trained, norm, trained


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a GGUF file")
    parser.add_argument("--rows", required=True, help="rows as pumice tokenize prints them")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=8, help="rows a step")
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--schedule", choices=["cosine", "linear", "constant"], default="constant")
    parser.add_argument("--warmup-steps", type=int, default=0)
    parser.add_argument("--weight-decay", type=float, default=0.0)
    parser.add_argument("--clip", type=float, default=1.0, help="0: no clipping")
    parser.add_argument("--threads", type=int, default=0, help="0: as PyTorch chooses")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    model = load_gguf(options.model)
    rows = load_rows(options.rows, options.max_length)
    optimizer = torch.optim.AdamW(
        decay_groups(model, options.weight_decay), lr=options.learning_rate, betas=(0.9, 0.999), eps=1e-8
    )
    for step in range(options.steps):
        batch = [rows[(step * options.batch + i) % len(rows)] for i in range(options.batch)]
        rate = learning_rate(step, options.steps, options.learning_rate, options.schedule, options.warmup_steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        start = time.monotonic()
        loss, norm, trained = train_step(model, optimizer, batch, options.clip)
        record = {
            "step": step + 1,
            "loss": loss,
            "grad_norm": norm,
            "learning_rate": rate,
            "conversations": len(batch),
            "tokens": sum(len(ids) for ids, _ in batch),
            "trained_tokens": trained,
            "seconds": round(time.monotonic() - start, 3),
        }
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
