"""What transformers (and chatglm.py) compute with the tiny models of test/e2e/tiny_architectures.py: the references that
check_architectures.py compares with live and make_architectures_golden.py stores. fp32 on the CPU. Needs torch,
transformers and safetensors.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
import architecture_checks  # noqa: E402
from chatglm import ChatGlm  # noqa: E402

torch.manual_seed(0)
transformers.logging.set_verbosity_error()


def load(folder):
    """The framework's model of a folder; a tensor that one side has and the other lacks is an error."""
    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] == "chatglm":
        return ChatGlm(config, load_file(folder / "model.safetensors"))
    model_class = getattr(transformers, config["architectures"][0])
    model, loading = model_class.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    problems = {what: names for what, names in loading.items() if names}
    if problems:
        raise ValueError(f"{folder}: transformers loads it with {problems}")
    return model.eval()


@torch.no_grad()
def logits(model, ids, mask, positions):
    ids, mask, positions = (torch.from_numpy(np.asarray(x, np.int64)) for x in (ids, mask, positions))
    if isinstance(model, ChatGlm):
        return model(ids, mask, positions).numpy()
    return model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits.numpy()


def greedy(model, prompt, count):
    """(tokens, how far each one's logit is ahead of the next best, relative to all logits) after a prompt, the whole text computed anew each time."""
    text, gaps = list(map(int, prompt)), []
    for _ in range(count):
        ids = np.array([text])
        last = logits(model, ids, np.ones_like(ids), np.arange(len(text))[None])[0, -1]
        second, first = np.sort(last)[-2:]
        gaps.append((first - second) / np.linalg.norm(last))
        text.append(int(last.argmax()))
    return text[len(prompt) :], gaps


def decoder_reference(model, inputs):
    result = {side: logits(model, *inputs[side])[inputs[side][1] != 0] for side in ("right", "left")}
    tokens, gaps = zip(*(greedy(model, prompt, architecture_checks.GREEDY) for prompt in inputs["prompts"]))
    return {**result, "tokens": np.array(tokens, "<i4"), "gaps": np.array(gaps, "<f4")}


@torch.no_grad()
def encoder_reference(model, inputs):
    results = {}
    for side in ("right", "left"):
        given = {name: torch.from_numpy(value.astype(np.int64)) for name, value in inputs[side].items()}
        outputs = model(**given)
        for name in ("last_hidden_state", "pooler_output", "logits"):
            if outputs.get(name) is not None:
                value = outputs[name].numpy()
                valid = inputs[side]["attention_mask"] != 0
                results[f"{side}.{name}"] = value[valid] if value.ndim == 3 else value
    return results


def reference(architecture, folder, inputs):
    """In the form that architecture_checks.py describes."""
    model = load(folder)
    return (decoder_reference if architecture.decoder else encoder_reference)(model, inputs)
