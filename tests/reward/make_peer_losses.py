"""Writes peer_losses.hpp: what TRL's GRPOTrainer makes of given log-probs, its own code, with losses and their gradients.

make_peer_losses.py, with trl 1.16 and torch installed. The file is committed; this is how it was made.
"""

import pathlib
from types import SimpleNamespace

import torch
import trl

LENGTHS = [5, 3, 4, 1]
LONGEST = 6
CASES = [
    {"name": "grpo", "loss_type": "grpo"},
    {"name": "grpo with kl", "loss_type": "grpo", "beta": 0.04},
    {"name": "dapo", "loss_type": "dapo", "epsilon_high": 0.28},
    {"name": "dr_grpo", "loss_type": "dr_grpo"},
    {"name": "gspo", "loss_type": "grpo", "level": "sequence", "epsilon_low": 0.05, "epsilon_high": 0.04},
    {"name": "gspo with kl", "loss_type": "grpo", "level": "sequence", "beta": 0.1, "epsilon_low": 0.5, "epsilon_high": 0.5},
    {"name": "cispo", "loss_type": "cispo", "epsilon_high": 1.2},
    {"name": "two advantages a token", "loss_type": "dapo", "by_token": True},
]


class Trainer:
    """What _compute_loss looks at."""

    def __init__(self, case, logps):
        self.args = SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1)
        self.aux_loss_enabled = self._entropy_bonus_enabled = self.use_vllm = False
        self.top_entropy_quantile, self.off_policy_mask_threshold = 1.0, None
        self.importance_sampling_level = case.get("level", "token")
        self.loss_type, self.beta = case["loss_type"], case.get("beta", 0.0)
        self.epsilon_low, self.epsilon_high = case.get("epsilon_low", 0.2), case.get("epsilon_high", 0.2)
        self.max_completion_length, self.current_gradient_accumulation_steps = LONGEST, 1
        self.model = SimpleNamespace(training=True)
        gather = lambda x: x.reshape(-1)  # noqa: E731
        self.accelerator = SimpleNamespace(num_processes=1, gather=gather, sync_gradients=True, reduce=lambda x, reduction: x)
        self._metrics = {"train": __import__("collections").defaultdict(list)}
        self.logps = logps

    def _get_per_token_logps_and_entropies(self, *_, **__):
        return self.logps, torch.zeros_like(self.logps), None


def record(case, generator):
    shape = (len(LENGTHS), max(LENGTHS))
    mask = torch.tensor([[1] * n + [0] * (shape[1] - n) for n in LENGTHS])
    draw = lambda scale: torch.randn(shape, generator=generator, dtype=torch.float64) * scale  # noqa: E731
    now = (-1.5 + draw(0.5)).requires_grad_()
    old, reference = (now.detach() + draw(0.25)), (now.detach() + draw(0.3))
    advantages = torch.randn(shape if case.get("by_token") else shape[0], generator=generator, dtype=torch.float64)
    ids = torch.ones(shape, dtype=torch.long)
    inputs = {"prompt_ids": ids[:, :1], "prompt_mask": mask[:, :1], "completion_ids": ids, "completion_mask": mask, "advantages": advantages,
              "old_per_token_logps": old, "ref_per_token_logps": reference, "num_items_in_batch": mask.sum()}
    loss = trl.GRPOTrainer._compute_loss(Trainer(case, now), None, inputs)
    loss.backward()
    whole = advantages if advantages.dim() == 2 else advantages.unsqueeze(1).expand(shape)
    rows = lambda tensor: [tensor[i, :n].tolist() for i, n in enumerate(LENGTHS)]  # noqa: E731
    return {**case, "epsilon_low": case.get("epsilon_low", 0.2), "epsilon_high": case.get("epsilon_high", 0.2), "beta": case.get("beta", 0.0),
            "level": case.get("level", "token"), "longest": LONGEST, "now": rows(now.detach()), "old": rows(old), "reference": rows(reference),
            "advantage": rows(whole), "loss": loss.item(), "gradient": rows(now.grad)}


def braces(value):
    return "{" + ", ".join(map(braces, value)) + "}" if isinstance(value, list) else repr(value)


def cpp(case):
    kind = "cispo" if case["loss_type"] == "cispo" else "gspo" if case["level"] == "sequence" else "clip"
    mean = {"grpo": "sequence", "dapo": "token", "cispo": "token", "dr_grpo": "constant"}[case["loss_type"]]
    # Its cispo bounds weights from above alone, by epsilon_high itself.
    low, high = (1.0, case["epsilon_high"] - 1) if kind == "cispo" else (case["epsilon_low"], case["epsilon_high"])
    options = f"{{PolicyLossKind::{kind}, {low!r}, {high!r}, {case['beta']!r}}}"
    arrays = ",\n     ".join(braces(case[key]) for key in ("now", "old", "reference", "advantage", "gradient"))
    return f'    {{"{case["name"]}", {options}, Mean::{mean}, {case["loss"]!r},\n     {arrays}}}'


HEADER = """// Made by make_peer_losses.py with TRL {version}: its GRPOTrainer's losses of given log-probs, and their gradients.
#pragma once

#include <vector>

#include "tdrm/reward/policy_loss.hpp"

namespace tdrm::reward::peer {{

enum class Mean {{ token, sequence, constant }};
using Answers = std::vector<std::vector<double>>;  ///< numbers of tokens
struct Case {{
    const char* name;
    PolicyLossOptions options;
    Mean mean;
    double loss;
    Answers now, old, reference, advantage, gradient;
}};
inline constexpr int kLongest = {longest};
inline const std::vector<Case> kCases{{
{cases}}};

}}  // namespace tdrm::reward::peer
"""

if __name__ == "__main__":
    numbers = torch.Generator().manual_seed(7)
    cases = ",\n".join(cpp(record(case, numbers)) for case in CASES)
    path = pathlib.Path(__file__).with_name("peer_losses.hpp")
    path.write_text(HEADER.format(version=trl.__version__, longest=LONGEST, cases=cases))
