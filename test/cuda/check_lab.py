#!/usr/bin/env python3
"""Builds the kernel lab and runs its checks on the GPU, with --sanitize also under compute-sanitizer. Where there is no nvcc or no
GPU it says so and exits 77. The lab's last line is "lab: N passed, M failed"."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=str(ROOT / "build/lab"))
    parser.add_argument("--sanitize", action="store_true")
    arguments = parser.parse_args()
    if shutil.which("nvcc") is None:
        print("check_lab: skipped, nvcc was not found")
        return 77
    if shutil.which("nvidia-smi") is None:
        print("check_lab: skipped, this machine has no NVIDIA driver")
        return 77
    if subprocess.run(["make", "-C", ROOT / "bench/cuda", "-j4", f"BUILD={arguments.build}"]).returncode != 0:
        return 1
    lab = [f"{arguments.build}/lab", "check"]
    code = subprocess.run(lab).returncode
    for tool in ("memcheck", "racecheck", "synccheck", "initcheck") if arguments.sanitize else ():
        print(f"check_lab: {tool}", flush=True)
        code = code or subprocess.run(["compute-sanitizer", "--tool", tool, "--error-exitcode", "1", *lab]).returncode
    return code


if __name__ == "__main__":
    sys.exit(main())
