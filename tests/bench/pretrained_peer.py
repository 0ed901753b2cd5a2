#!/usr/bin/env python3
"""What pretrained_bench measures, with transformers in one padded batch.   pretrained_peer.py FOLDER [THREADS [fp32|bf16 [WHAT...]]]"""
import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM

torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else 2)
dtype = torch.bfloat16 if sys.argv[3:4] == ["bf16"] else torch.float32
wanted = sys.argv[4:] or ["prefill", "score", "decode", "update"]
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=dtype).eval()
generator = torch.Generator().manual_seed(1)


def tokens(*shape):
    return torch.randint(100, 40000, shape, generator=generator)


def show(what, count, begin):
    seconds = time.perf_counter() - begin
    print(json.dumps({"bench": what, "tokens": count, "seconds": round(seconds, 3), "tokens_per_second": round(count / seconds, 1)}), flush=True)


@torch.inference_mode()
def prefill():
    for length in (512, 2048):
        ids = tokens(1, length)
        model(ids, logits_to_keep=1)  # warms up
        begin = time.perf_counter()
        model(ids, logits_to_keep=1)
        show(f"prefill {length}", length, begin)


@torch.inference_mode()
def score():
    """200 solutions of 6 steps of 20 tokens, each behind a prompt of 80, prefix by prefix with 2 tokens of a probe."""
    begin = time.perf_counter()
    for _ in range(200):
        ids = tokens(1, 202)
        for step in range(7):
            model(ids[:, : 82 + 20 * step], logits_to_keep=1)
    show("score", 200 * 200, begin)


@torch.inference_mode()
def decode():
    """32 answers of 16 to 256 tokens: the batch runs until the longest is done."""
    ids = tokens(32, 64)
    useful = sum(16 + 240 * i // 31 for i in range(32))
    begin = time.perf_counter()
    model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=256, min_new_tokens=256, do_sample=True, top_k=0, pad_token_id=2)
    show("decode", useful, begin)


def update():
    """On 8 sequences of 256 tokens."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
    ids = tokens(8, 256)
    for repeat in range(2):
        begin = time.perf_counter()
        model(ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if repeat > 0:
            show("update", ids.numel(), begin)


for what in wanted:
    {"prefill": prefill, "score": score, "decode": decode, "update": update}[what]()
