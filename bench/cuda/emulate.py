#!/usr/bin/env python3
"""Builds the lab's checks for the emulator of test/emulator and runs them without a GPU, nvcc or a CUDA header: kernels of sm_80, or,
where the first argument is sm_90a, of that. Others go to the lab: emulate.py gemv sampling, emulate.py sm_90a hopper. LAB_ORDER=reverse
runs threads from the last to the first, LAB_TIMING=lazy does asynchronous work as late as may be."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURES = {"sm_75": ["-D__CUDA_ARCH__=750"], "sm_80": ["-D__CUDA_ARCH__=800"], "sm_90a": ["-D__CUDA_ARCH__=900", "-D__CUDA_ARCH_FEAT_SM90_ALL"]}
ARCHITECTURE = sys.argv.pop(1) if sys.argv[1:2] in ([name] for name in ARCHITECTURES) else "sm_80"
BUILD = ROOT / "build/lab-emulated" / ARCHITECTURE
EMULATOR = ("Barriers", "Boxes", "Cluster", "Emulator", "Fibers", "Hopper", "Products", "Tensor")
CHECKS = ("CheckGemv.cu", "CheckPlanes.cu", "CheckRows.cu", "CheckSkinny.cu", "Prefill.cu", "Sampling.cu", "Lab.cu") + (("Gemm.cu", "GemmE4m3.cu", "GemmNorm.cu", "NormChain.cu", "SkinnyChain.cu") if ARCHITECTURE == "sm_90a" else ())
REWRITE = """#include "test/emulator/Rewrite.h"
#include <fstream>
#include <iostream>
#include <iterator>
int main(int, char **names) {
  std::ifstream in(names[1]);
  auto text = transom::emulator::rewriteCuda(std::string(std::istreambuf_iterator<char>(in), {}), names[1]);
  if (text.ok())
    std::ofstream(names[2]) << *text;
  else
    std::cerr << text.status().message() << "\\n";
  return !text.ok();
}
"""


def run(*words):
    subprocess.run([str(word) for word in words], check=True)


def compile_all(jobs):
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda words: run("g++", "-std=c++20", "-w", f"-I{ROOT}", *words), jobs))


def main():
    source = BUILD / "source"
    for folder in ("bench/cuda/emulated", "codegen/cuda/kernels", "runtime/format"):
        (source / folder).mkdir(parents=True, exist_ok=True)
    (BUILD / "rewrite.cpp").write_text(REWRITE)
    run("g++", "-std=c++20", f"-I{ROOT}", BUILD / "rewrite.cpp", ROOT / "test/emulator/Rewrite.cpp", "-lfmt", "-o", BUILD / "rewrite")
    texts = [*ROOT.glob("codegen/cuda/kernels/*.cuh"), *ROOT.glob("bench/cuda/*.c*"), *ROOT.glob("bench/cuda/*.h"), *ROOT.glob("bench/cuda/emulated/*.cu")]
    for path in texts:
        run(BUILD / "rewrite", path, source / path.relative_to(ROOT))
    (source / "runtime/format/Sampling.h").write_text((ROOT / "runtime/format/Sampling.h").read_text())
    emulator = [(ROOT / f"test/emulator/{name}.cpp", BUILD / f"{name}.o") for name in EMULATOR]
    checks = [(source / "bench/cuda" / name, BUILD / f"{Path(name).stem}.o") for name in CHECKS]
    device = ["-O1", "-fno-strict-aliasing", "-ffp-contract=off", *ARCHITECTURES[ARCHITECTURE], f"-I{ROOT}/bench/cuda/emulated", "-x", "c++"]
    compile_all([["-O3", "-c", text, "-o", out] for text, out in emulator] + [[*device, "-c", text, "-o", out] for text, out in checks])
    run("g++", *(out for _, out in emulator + checks), "-lfmt", "-ldl", "-lpthread", "-o", BUILD / "lab")
    return subprocess.run([str(BUILD / "lab"), "check", *sys.argv[1:]]).returncode


if __name__ == "__main__":
    sys.exit(main())
