#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the golden vectors in tests/golden with PyTorch and transformers: what the trainer must reproduce.

Needs torch, transformers, safetensors and numpy (pip install torch transformers safetensors numpy). For each tiny model
of random weights (seeded) one folder is written:

  config.json, model.safetensors   the model as Hugging Face lays it out, float32
  golden.json                      what went in and the scalars that came out:
      documents    [{"ids", "mask"}]: token i > 0 is trained where mask[i] is 1; token 0 never is, whatever its mask says
      logits_of    the index of the document whose logits are in golden.safetensors
      trained      the trained tokens of all documents
      loss         their mean loss, all documents taken as one step; each document attends to itself, from position 0
      grad_norm    of that loss, over all parameters (a tied head counts once)
      optimizer    AdamW with decay for matrices only, the rate constant, the gradient clipped to max_grad_norm
      steps        [{"batch", "trained", "loss", "grad_norm"}]: ten steps from the weights on, each on the documents
                   named in "batch"; loss before the update, norm before clipping
      float32      loss, grad_norm and steps again, as PyTorch's own float32 computes them: how far rounding leads
  golden.safetensors               "logits" (tokens, vocabulary) and the gradient of every parameter under its name

Everything outside "float32" is computed in float64 (rotary tables in float32) and stored rounded to float32.

example: tools/golden.py            (writes tests/golden; with --output FOLDER, elsewhere)
"""
import argparse
import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import LlamaForCausalLM
from transformers.models.llama import modeling_llama
from transformers.utils.logging import disable_progress_bar

COMMON = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "num_hidden_layers": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "float32",
}
MODELS = {
    # SmolLM2's proportions: three query heads a key head, a tied head; a vocabulary that is no multiple of 8.
    "llama-tied": COMMON
    | {
        "hidden_size": 48,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "intermediate_size": 56,
        "vocab_size": 101,
        "rope_theta": 100000.0,
        "tie_word_embeddings": True,
    },
    # A head of its own; query heads wider together than the model; the rotary base where transformers 5 writes it.
    "llama-untied": COMMON
    | {
        "hidden_size": 32,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 88,
        "vocab_size": 104,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "tie_word_embeddings": False,
    },
    # Llama 3's stretched rotary frequencies, chosen so that some stay, some are between, some are stretched in full.
    "llama-rope3": COMMON
    | {
        "hidden_size": 32,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 88,
        "vocab_size": 99,
        "rope_theta": 500000.0,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
        "tie_word_embeddings": True,
    },
}
LENGTHS = [13, 24, 2, 7, 33, 5]
BATCHES = [[0, 1, 2], [3, 4, 5]]  # step s takes BATCHES[s % 2]
STEPS = 10
OPTIMIZER = {
    "learning_rate": 1e-3,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "weight_decay": 0.1,
    "max_grad_norm": 7.0,  # some steps are clipped and some are not
}


def norm_forward(self, x):
    """RMSNorm in the precision of its input; transformers' own goes through float32."""
    return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))


def weights_make(model, generator):
    """Random weights: large enough that attention is far from uniform and some steps are clipped."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.copy_(1 + 0.2 * noise)
            elif "embed_tokens" in name or "lm_head" in name:
                parameter.copy_(0.3 * noise)
            else:
                parameter.copy_(noise / parameter.shape[1] ** 0.5)


def documents_make(vocabulary, generator):
    """Documents of several lengths with masks of several kinds."""
    documents = []
    for number, length in enumerate(LENGTHS):
        ids = torch.randint(0, vocabulary, (length,), generator=generator).tolist()
        if number == 0:
            mask = [1] * length  # trained whole, and the first token says so too
        elif number == 2:
            mask = [0, 1]
        else:
            start = length // 2
            mask = [int(i >= start and i % 7 != 3) for i in range(length)]  # spans
        documents.append({"ids": ids, "mask": mask})
    return documents


def loss_of(model, documents):
    """The summed loss of the trained tokens, their number, and the logits of each document."""
    total, trained, logits = 0, 0, []
    for document in documents:
        out = model(input_ids=torch.tensor([document["ids"]])).logits[0]
        wanted = torch.tensor(document["mask"][1:], dtype=torch.bool)
        labels = torch.tensor(document["ids"][1:])
        losses = torch.nn.functional.cross_entropy(out[:-1], labels, reduction="none")
        total = total + losses[wanted].sum()
        trained += int(wanted.sum())
        logits.append(out.detach())
    return total, trained, logits


def run(folder, documents, precision):
    """(scalars, logits, gradients) of the model in the folder, computed in the given precision."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").to(precision)
    total, trained, logits = loss_of(model, documents)
    (total / trained).backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    norm = torch.sqrt(sum(g.pow(2).sum() for g in gradients.values()))
    scalars = {"trained": trained, "loss": total.item() / trained, "grad_norm": norm.item(), "steps": []}
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": OPTIMIZER["weight_decay"]},
            {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
        ],
        lr=OPTIMIZER["learning_rate"],
        betas=(OPTIMIZER["adam_beta1"], OPTIMIZER["adam_beta2"]),
        eps=OPTIMIZER["adam_epsilon"],
    )
    for step in range(STEPS):
        batch = BATCHES[step % len(BATCHES)]
        optimizer.zero_grad()
        total, trained, _ = loss_of(model, [documents[i] for i in batch])
        (total / trained).backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, OPTIMIZER["max_grad_norm"])
        optimizer.step()
        scalars["steps"].append(
            {"batch": batch, "trained": trained, "loss": total.item() / trained, "grad_norm": norm.item()}
        )
    return scalars, logits, gradients


def golden_make(folder, config, seed):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    generator = torch.Generator().manual_seed(seed)
    model = LlamaForCausalLM(LlamaForCausalLM.config_class.from_pretrained(folder)).float()
    weights_make(model, generator)
    weights = {name: p.detach().contiguous() for name, p in model.named_parameters()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    documents = documents_make(config["vocab_size"], generator)
    longest = max(range(len(LENGTHS)), key=lambda i: LENGTHS[i])

    rounded, _, _ = run(folder, documents, torch.float32)
    own_forward = modeling_llama.LlamaRMSNorm.forward
    modeling_llama.LlamaRMSNorm.forward = norm_forward
    exact, logits, gradients = run(folder, documents, torch.float64)
    modeling_llama.LlamaRMSNorm.forward = own_forward

    golden = {"documents": documents, "logits_of": longest, "optimizer": OPTIMIZER} | exact
    golden["float32"] = {key: rounded[key] for key in ("loss", "grad_norm", "steps")}
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items())
    (folder / "golden.json").write_text("{\n" + lines + "\n}\n")
    tensors = {"logits": logits[longest]} | gradients
    save_file({k: v.float().contiguous() for k, v in tensors.items()}, folder / "golden.safetensors")
    for name in ("model.safetensors", "golden.safetensors"):
        (folder / name).chmod(0o644)

    clipped = sum(s["grad_norm"] > OPTIMIZER["max_grad_norm"] for s in exact["steps"])
    drift = max(abs(a["loss"] - b["loss"]) for a, b in zip(exact["steps"], rounded["steps"]))
    print(
        f"{folder.name}: {sum(p.numel() for p in model.parameters())} parameters, loss {exact['loss']:.6f}, norm "
        f"{exact['grad_norm']:.4f}, {clipped} of {STEPS} steps clipped, last loss {exact['steps'][-1]['loss']:.6f}, "
        f"float32 within {drift:.1e}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("--output", type=pathlib.Path, default=here / "tests" / "golden")
    options = parser.parse_args()
    torch.set_num_threads(1)
    disable_progress_bar()
    for seed, (name, config) in enumerate(MODELS.items(), start=1):
        golden_make(options.output / name, config, seed)


if __name__ == "__main__":
    main()
