#!/usr/bin/env python3
"""Runs the steps of tools/check: builds in order, then every test, two steps at a time. Sums what they report; the last line is
"N passed, M failed". Each step's whole output is kept in build/check/<step>.log. A step that ends with code 77 was skipped: it
counts neither way, and its reason is printed.
"""

import argparse
import itertools
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / "build" / "check"
PYTHON = "build/venv/bin/python"
TRANSOM = "build/release/bin/transom"
LIT = "/usr/lib/llvm-19/build/utils/lit/lit.py"
STEP_LIMIT_S = 3600
SKIPPED = 77

# How the test programs report, and what that makes in passed and failed tests.
REPORTS = [
    # test/e2e
    (re.compile(r"\b(\d+) passed, (\d+) failed$"), lambda a, b: (int(a), int(b))),
    # test/oracle
    (re.compile(r": (\d+) of (\d+) (?:prompts|sentences) agree"), lambda a, b: (int(a), int(b) - int(a))),
    (re.compile(r"^tokenizer .*: (\d+) lines, (\d+) differences$"), lambda _, n: (int(n == "0"), int(n != "0"))),
    # GoogleTest
    (re.compile(r"^(?:\d+: )?\[  (PASSED)  \] (\d+) tests?"), lambda _, n: (int(n), 0)),
    (re.compile(r"^(?:\d+: )?\[  (FAILED)  \] (\d+) tests?, listed"), lambda _, n: (0, int(n))),
    # lit
    (re.compile(r"^ *(Passed) *: *(\d+)\b"), lambda _, n: (int(n), 0)),
    (re.compile(r"^ *(Failed|Unresolved|Timed Out) *: *(\d+)\b"), lambda _, n: (0, int(n))),
]


class Step:
    """`needed`: the rest cannot run without it. `setup`: it builds or fetches, and counts only where it fails. `alone`: no other step
    runs beside it, as it keeps all processors busy or others need what it makes."""

    def __init__(self, name, *commands, needed=False, setup=False, alone=False, environment=None):
        self.name, self.commands, self.needed, self.setup, self.alone = name, commands, needed, setup, alone or needed or setup
        self.environment = {**os.environ, **(environment or {})}


def e2e(name, script, *arguments):
    return Step(name, f"{PYTHON} test/e2e/{script} --transom {TRANSOM} {' '.join(arguments)}")


STEPS = [
    Step("walls", "python3 test/house/check_walls.py"),
    Step("seeded-faults", "python3 test/house/seeded_bugs.py --check"),
    Step("python", "test -x build/venv/bin/python || python3 -m venv build/venv",
         f"{PYTHON} -m pip install --quiet --disable-pip-version-check -r test/requirements.txt", needed=True, setup=True),
    Step("models", "python3 test/oracle/fetch_models.py", needed=True, setup=True),
    Step("build", f"cmake --preset release -DTRANSOM_TESTS=ON -DTRANSOM_TEST_PYTHON=$PWD/{PYTHON}", "cmake --build --preset release",
         needed=True, setup=True),
    Step("unit", "ctest --test-dir build/release -V --timeout 900 -j2", alone=True),
    Step("compile", "mkdir -p build/check",
         f"{TRANSOM} compile build/models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf -o build/check/smollm2.transom",
         f"{TRANSOM} compile build/models/minilm -o build/check/minilm.transom", needed=True),
    Step("cuda-kernels", f"{PYTHON} test/cuda/compile_kernels.py", alone=True),
    Step("cuda-models", f"{PYTHON} test/cuda/compile_models.py --transom {TRANSOM}", alone=True),
    e2e("cuda-emulated", "emulated.py"),
    e2e("cuda-invariant", "invariant.py"),
    Step("lit", f"{PYTHON} {LIT} -sv build/release/test"),
    e2e("cuda-devices", "devices.py"),
    Step("random", "build/release/test/transom-random --count=500 --out=build/check/random"),
    Step("smollm2", f"python3 test/oracle/check_smollm2.py --transom {TRANSOM} --artifact build/check/smollm2.transom"),
    Step("minilm", f"python3 test/oracle/check_minilm.py --transom {TRANSOM} --artifact build/check/minilm.transom"),
    Step("tokenizers", f"{PYTHON} test/e2e/tokenizer/compare_tokenizers.py --build build/release --work build/check/tokenizers"
         " --json minilm=build/models/minilm/tokenizer.json --gguf smollm2=build/models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
    e2e("architectures", "architectures.py"),
    e2e("classify", "classify.py"),
    e2e("fp8", "fp8.py"),
    e2e("agreement", "agreement.py"),
    e2e("graphs", "graphs.py"),
    e2e("agreement-models", "agreement.py", "--models"),
    e2e("explain", "explain.py"),
    e2e("explain-models", "explain.py", "--models"),
    e2e("memory", "memory.py"),
    e2e("memory-models", "memory.py", "--models"),
    e2e("determinism", "determinism.py"),
    e2e("determinism-models", "determinism.py", "--models"),
    e2e("bad-models", "bad_models.py"),
    e2e("bad-architectures", "bad_architectures.py"),
    e2e("bad-commands", "bad_commands.py"),
    e2e("install", "install.py"),
    Step("build-asan", "cmake --preset asan -DTRANSOM_COMPILER=OFF",
         "cmake --build --preset asan --target FuzzArtifact FuzzTokenizer ModelFilesFuzz", setup=True),
    Step("asan", "ctest --test-dir build/asan -V --timeout 900 -R Fuzz", environment={"TRANSOM_FUZZ_COUNT": "300"}),
    # PyTorch with CUDA is too large to install for this: TRANSOM_GPU_PYTHON names a Python that has it.
    Step("gpu", f"command -v nvidia-smi >/dev/null || {{ echo 'gpu: skipped, this machine has no NVIDIA driver'; exit {SKIPPED}; }}",
         f"${{TRANSOM_GPU_PYTHON:-{PYTHON}}} test/cuda/check_models.py --transom {TRANSOM}"),
]


def count(text):
    """(passed, failed) of everything that a step's output reports; None where it reports nothing."""
    found = None
    for line in text.splitlines():
        for pattern, meaning in REPORTS:
            match = pattern.search(line)
            if match:
                passed, failed = meaning(*match.groups())
                found = ((found or (0, 0))[0] + passed, (found or (0, 0))[1] + failed)
                break
    return found


def environment_of(step):
    """The step's variables, and where NVRTC of requirements.txt lies: it looks for its second library as the loader does."""
    folders = sorted(ROOT.glob("build/venv/lib/python*/site-packages/nvidia/cu13/lib"))
    before = step.environment.get("LD_LIBRARY_PATH")
    return {**step.environment, "LD_LIBRARY_PATH": ":".join([*map(str, folders), *([before] if before else [])])} if folders else step.environment


def run(step):
    """Runs the step's commands up to the first that fails. Returns its exit code and its output."""
    output, code = "", 0
    for command in step.commands:
        output += f"$ {command}\n"
        try:
            done = subprocess.run(command, shell=True, executable="/bin/bash", cwd=ROOT, env=environment_of(step),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, errors="replace", timeout=STEP_LIMIT_S)
            code, text = done.returncode, done.stdout
        except subprocess.TimeoutExpired as late:
            code, text = 124, (late.stdout or b"").decode(errors="replace") + f"\nstopped after {STEP_LIMIT_S} s\n"
        output += text
        if code != 0:
            break
    (LOGS / f"{step.name}.log").write_text(output)
    return code, output


def skip_reason(output):
    """Why a step says that it was skipped."""
    reasons = re.findall(r"^\S+: skipped, (.+)$", output, re.MULTILINE)
    return reasons[-1] if reasons else f"exit code {SKIPPED} without a reason"


def judge(step, code, output):
    """(passed, failed) of a step. One that fails without saying how many tests did counts as one failed test."""
    passed, failed = count(output) or (0 if step.setup or code else 1, 0)
    return passed, failed or int(code != 0)


def report(step):
    """Runs a step and prints what came of it. Returns (passed, failed)."""
    begin = time.monotonic()
    code, output = run(step)
    seconds = time.monotonic() - begin
    if code == SKIPPED and not step.needed:
        print(f"{step.name:<20} {seconds:6.0f} s  skipped: {skip_reason(output)}", flush=True)
        return 0, 0
    passed, failed = judge(step, code, output)
    counts = "done" if step.setup and not failed else f"{passed} passed, {failed} failed"
    text = f"{step.name:<20} {seconds:6.0f} s  {counts}"
    if failed:
        lines = output.splitlines()
        named = [line for line in lines[:-30] if "FAIL" in line]
        text += "\n" + "\n".join("    " + line for line in named[:20] + lines[-30:]) + f"\n    (build/check/{step.name}.log)"
    print(text, flush=True)
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("steps", nargs="*", metavar="STEP", help="only these; without any, all of them")
    parser.add_argument("--list", action="store_true", help="print the steps' names")
    options = parser.parse_args()
    names = [step.name for step in STEPS]
    unknown = set(options.steps) - set(names)
    if options.list or unknown:
        print("\n".join(names) if options.list else f"unknown step {', '.join(sorted(unknown))}; --list shows the steps")
        return 1 if unknown else 0
    LOGS.mkdir(parents=True, exist_ok=True)
    all_passed = all_failed = 0
    started = time.monotonic()
    chosen = [step for step in STEPS if not options.steps or step.name in options.steps]
    with ThreadPoolExecutor(2) as pool:
        for alone, group in itertools.groupby(chosen, key=lambda step: step.alone):
            group = list(group)
            reports = map(report, group) if alone else pool.map(report, group)
            for step, (passed, failed) in zip(group, reports):
                all_passed, all_failed = all_passed + passed, all_failed + failed
                if failed and step.needed:
                    break
            else:
                continue
            print(f"{step.name} failed; the steps after it need it")
            break
    print(f"{(time.monotonic() - started) / 60:.1f} minutes")
    print(f"{all_passed} passed, {all_failed} failed")
    return 1 if all_failed or not all_passed else 0


if __name__ == "__main__":
    sys.exit(main())
