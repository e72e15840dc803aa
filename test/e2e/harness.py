"""What the end-to-end tests share: running the transom command under limits, and counting what passed.

A test script makes a Suite, checks things, and ends with `sys.exit(suite.finish())`, which prints
"<name>: N passed, M failed". No test lives here.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "build" / "models"
SMOLLM2 = MODELS / "smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
MINILM = MODELS / "minilm"

MEMORY_KB = 8 << 20
TIMEOUT_S = 600


class Suite:
    """Counts checks and prints those that fail. `folder` is empty at the start and removed at the end."""

    def __init__(self, name, arguments=None):
        parser = argparse.ArgumentParser(description=name)
        parser.add_argument("--transom", default=str(ROOT / "build" / "release" / "bin" / "transom"))
        self.options = (arguments or (lambda p: p))(parser).parse_args()
        self.name, self.passed, self.failed = name, 0, 0
        self._scratch = tempfile.TemporaryDirectory(prefix=f"transom-{name}-")
        self.folder = Path(self._scratch.name)

    def check(self, what, problem=None):
        """One check: it passes where `problem` is empty, else `problem` says what is wrong."""
        if problem:
            self.failed += 1
            print(f"FAIL: {self.name}: {what}: {problem}", flush=True)
        else:
            self.passed += 1

    def finish(self):
        print(f"{self.name}: {self.passed} passed, {self.failed} failed", flush=True)
        self._scratch.cleanup()
        return 1 if self.failed or not self.passed else 0

    def transom(self, *arguments, file_limit_kb=None, timeout=TIMEOUT_S, environment=None, binary=None):
        """Runs the command with bounded memory; with a limit on file sizes, writing past it fails as on a full disk."""
        limit = f"trap '' XFSZ; ulimit -f {file_limit_kb};" if file_limit_kb else ""
        shell = f'ulimit -c 0; ulimit -v {MEMORY_KB}; {limit} exec "$@"'
        command = ["bash", "-c", shell, "bash", str(binary or self.options.transom), *map(str, arguments)]
        try:
            return subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                stdin=subprocess.DEVNULL,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, -1000, "", f"still running after {timeout} s")

    def ok(self, what, *arguments, **limits):
        """Runs the command, checks that it succeeds; returns whether it did."""
        done = self.transom(*arguments, **limits)
        self.check(what, None if done.returncode == 0 else outcome(done))
        return done.returncode == 0

    def inspect(self, artifact):
        """What `transom inspect --json` says; empty after a failed check."""
        done = self.transom("inspect", artifact, "--json")
        self.check(f"inspect {artifact.name}", None if done.returncode == 0 else outcome(done))
        return json.loads(done.stdout) if done.returncode == 0 else {}


def outcome(done):
    """How a command ended, in one line."""
    last = (done.stderr.strip().splitlines() or ["nothing on standard error"])[-1]
    return f"exit code {done.returncode}: {last}"


def refusal_problem(done):
    """None where a command refused its input as it should: exit code 1 and one line that says why."""
    lines = done.stderr.splitlines()
    if done.returncode != 1:
        return outcome(done)
    if len(lines) != 1 or not lines[0].startswith("transom: error: ") or len(lines[0]) < 24:
        return f"expected one line of error, found {done.stderr!r}"
    if not lines[0].isprintable():
        return f"control characters in the error: {lines[0]!r}"
    return None
