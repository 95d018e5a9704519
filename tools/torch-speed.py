#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The speed of PyTorch for tools/compare: a full-parameter AdamW step of a GGUF model on one row of the random tokens of
`pumice bench`, with its settings, and torch.mm over the shapes on stdin (a JSON list of {"layout", "m", "n", "k"}).
Prints one JSON object: seconds and losses of the steps, products, memory. Needs torch, transformers, gguf and numpy."""
import argparse
import importlib.util
import json
import pathlib
import resource
import sys
import time

import torch


def load_reference():
    path = pathlib.Path(__file__).with_name("torch-reference.py")
    spec = importlib.util.spec_from_file_location("torch_reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def random_ids(count, vocabulary):
    """bench_items' (trainer/study/bench.c)."""
    state, ids = 42, []
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        ids.append((state >> 33) % 2**32 % vocabulary)
    return ids


def adamw(parameters, rate, **kind):
    return torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, **kind)


def fastest_adamw(parameters):
    """Which of PyTorch's AdamWs is fastest here; at a rate of 0 they leave the weights as they are."""
    best = (1e30, {})
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 1e-3)
    for kind in ({"fused": True}, {"foreach": True}, {"foreach": False}):
        optimizer = adamw(parameters, 0.0, **kind)
        optimizer.step()
        start = time.perf_counter()
        optimizer.step()
        best = min(best, (time.perf_counter() - start, kind), key=lambda x: x[0])
    return best[1]


def step_speed(options):
    model = load_reference().load_gguf(options.model, "sdpa")
    if options.precision == "bf16":
        model = model.to(torch.bfloat16)
    model.train()
    parameters = list(model.parameters())
    ids = torch.tensor([random_ids(options.tokens, model.config.vocab_size)])
    kind = fastest_adamw(parameters)
    optimizer = adamw(parameters, 2e-5, **kind)
    seconds, losses = [], []
    for _ in range(options.steps + 1):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds[1:], "first_seconds": seconds[0], "losses": losses, "adamw": str(kind)}


def product_speed(shape):
    """Least seconds of a product among 30, or as many as a second has room for."""
    m, n, k = shape["m"], shape["n"], shape["k"]
    a = torch.randn((k, m) if shape["layout"] == "TN" else (m, k))
    b = torch.randn((n, k) if shape["layout"] == "NT" else (k, n))
    a = a.t() if shape["layout"] == "TN" else a
    b = b.t() if shape["layout"] == "NT" else b
    out = torch.empty(m, n)
    least, end = 1e30, time.perf_counter() + 1
    for _ in range(30):
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        now = time.perf_counter()
        least = min(least, now - start)
        if now > end:
            break
    return {"layout": shape["layout"], "m": m, "n": n, "k": k, "flop": 2 * m * n * k, "seconds": least}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a GGUF file")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--steps", type=int, default=3, help="after a first one")
    parser.add_argument("--threads", type=int, default=0, help="0: as PyTorch chooses")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    out = step_speed(options)
    out["resident"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    out["kernels"] = [product_speed(shape) for shape in json.load(sys.stdin)]
    out["version"] = torch.__version__
    print(json.dumps(out))


if __name__ == "__main__":
    main()
