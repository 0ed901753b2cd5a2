"""Seconds of a GRPO update of TRL's GRPOTrainer on the shape of grpo_bench: 32 prompts x 8 answers, 4 layers, width 128.

usage: trl_grpo.py PROMPT_TOKENS ANSWER_TOKENS [THREADS [UPDATES [fp32|bf16]]]

Prints one JSON line. Every answer has ANSWER_TOKENS tokens, as in grpo_bench; beta is 0, so there is no reference model.
"""
import json
import os
import statistics
import sys
import tempfile
import time

prompt_tokens, answer_tokens = int(sys.argv[1]), int(sys.argv[2])
threads = int(sys.argv[3]) if len(sys.argv) > 3 else 2
updates = int(sys.argv[4]) if len(sys.argv) > 4 else 10
bf16 = sys.argv[5:] == ["bf16"]
os.environ.update(OMP_NUM_THREADS=str(threads), HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="")

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

torch.set_num_threads(threads)
torch.manual_seed(1)
VOCAB, PROBLEMS, SAMPLES = 1024, 32, 8


def tokenizer():
    words = {f"w{i}": i for i in range(VOCAB)}
    made = Tokenizer(models.WordLevel(words, unk_token="w0"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="w1", eos_token="w2", padding_side="left")


class Clock(TrainerCallback):
    def __init__(self):
        self.times = []

    def on_step_begin(self, *_, **__):
        self.start = time.perf_counter()

    def on_step_end(self, *_, **__):
        self.times.append(time.perf_counter() - self.start)


def main():
    config = LlamaConfig(vocab_size=VOCAB, hidden_size=128, intermediate_size=384, num_hidden_layers=4, num_attention_heads=4,
                         max_position_embeddings=512, tie_word_embeddings=False)
    model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(1)
    rows = torch.randint(3, VOCAB, (PROBLEMS * updates, prompt_tokens), generator=generator)
    data = Dataset.from_dict({"prompt": [" ".join(f"w{i}" for i in row) for row in rows.tolist()]})
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        options = GRPOConfig(
            output_dir=folder, per_device_train_batch_size=PROBLEMS * SAMPLES, num_generations=SAMPLES, gradient_accumulation_steps=1,
            max_completion_length=answer_tokens, generation_kwargs={"min_new_tokens": answer_tokens}, beta=0.0, max_steps=updates,
            learning_rate=1e-5, use_cpu=True, bf16=bf16, fp16=False, gradient_checkpointing=False, save_strategy="no", report_to=[],
            logging_strategy="no", disable_tqdm=True, dataloader_num_workers=0)
        trainer = GRPOTrainer(model=model, reward_funcs=lambda completions, **_: [float(len(c) % 2) for c in completions], args=options,
                              train_dataset=data, processing_class=tokenizer(), callbacks=[clock])
        trainer.train()
    print(json.dumps({"program": "TRL", "threads": threads, "products": "bf16" if bf16 else "fp32", "prompt": prompt_tokens, "answer": answer_tokens,
                      "seconds": statistics.median(clock.times[2:])}))


main()
