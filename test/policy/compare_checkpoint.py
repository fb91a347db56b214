"""Loads checkpoints with transformers and compares their logits with stored ones.

    python compare_checkpoint.py FOLDER CASE.safetensors [FOLDER CASE.safetensors ...]

A case holds ids [B, T] (int32) and logits [B, T, V] (float32). Prints the largest difference of each; fails where
tensors are missing or unexpected, or a logit differs by more than 1e-4.
"""
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

failed = False
for folder, case in zip(sys.argv[1::2], sys.argv[2::2]):
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    problems = {key: value for key, value in info.items() if value}
    tensors = load_file(case)
    with torch.no_grad():
        logits = model.float()(tensors["ids"].long()).logits
    difference = (logits - tensors["logits"]).abs().max().item() if logits.shape == tensors["logits"].shape else float("inf")
    print(f"{folder}: largest difference {difference:.2e}{f', {problems}' if problems else ''}")
    failed = failed or bool(problems) or not difference <= 1e-4
sys.exit(failed)
