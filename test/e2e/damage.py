"""What the tests of bad input share: good little models, ways to damage them, and the queue of commands that must refuse
them with exit code 1 and one line that says why, in bounded memory, never by a signal.

The readers themselves are fuzzed in test/fuzz, under sanitizers. No test lives here. Needs NumPy.
"""

import json
import os
import random
import shutil
from concurrent.futures import ThreadPoolExecutor

import tiny_models
from harness import Suite, outcome, refusal_problem

PLAIN_COMPILE = ("--quiet", "-O0", "--cpu=x86-64-v3")
SLOWEST_S = 120


class BadInput(Suite):
    """The commands that read a file, each with a good one of its kind."""

    def __init__(self, name):
        super().__init__(name, lambda parser: parser.add_argument("--mutations", type=int, default=24) and parser)
        self.random = random.Random(20)
        self.gguf = tiny_models.llama_gguf(self.folder / "good.gguf", kind="Q4_0")
        self.llama = tiny_models.llama_folder(self.folder / "llama")
        self.bert = tiny_models.bert_folder(self.folder / "bert")
        self.artifact = self.folder / "good.transom"
        self.embedder = self.folder / "good-embedder.transom"
        self.jobs = []

    def compile(self, model, *flags, output=None, **limits):
        target = self.folder / f"out-{self.random.getrandbits(60):x}.transom" if output is None else output
        done = self.transom("compile", model, "-o", target, *PLAIN_COMPILE, *flags, timeout=SLOWEST_S, **limits)
        if output is not None:
            return done, []
        left = list(self.folder.glob(target.name + "*"))
        for file in left:
            file.unlink()
        return done, [file.name for file in left] if done.returncode else []

    def refuses(self, what, *arguments, says="", **limits):
        """Queues a command that must be refused, with `says` in the reason."""

        def job():
            done = self.transom(*arguments, timeout=SLOWEST_S, **limits)
            silent = f"expected '{says}' in: {done.stderr}" if says not in done.stderr else None
            return refusal_problem(done) or silent

        self.jobs.append((what, job))

    def refuses_model(self, what, model, *flags, says="", **limits):
        """Queues a compile that must be refused, with `says` in the reason, and must leave no file."""

        def job():
            done, left = self.compile(model, *flags, **limits)
            silent = f"expected '{says}' in: {done.stderr}" if says not in done.stderr else None
            return refusal_problem(done) or silent or (f"left behind: {left}" if left else None)

        self.jobs.append((what, job))

    def survives_model(self, what, model):
        """Queues a compile that may succeed or be refused, but nothing else."""

        def job():
            done, left = self.compile(model)
            return None if done.returncode == 0 else refusal_problem(done) or (f"left behind: {left}" if left else None)

        self.jobs.append((what, job))

    def run_jobs(self):
        with ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool:
            for (what, _), problem in zip(self.jobs, pool.map(lambda job: job[1](), self.jobs)):
                self.check(what, problem)
        self.jobs = []

    # -- making bad files ----------------------------------------------------------------------------------------

    def cuts(self, size, head):
        """Lengths to cut a file of `size` bytes to: around its beginning, in its head, near its end."""
        fixed = [1, 3, 4, 8, 11, 23, 24, head - 1, head, size - 40]
        return sorted(
            {n for n in fixed + [self.random.randrange(1, head) for _ in range(self.options.mutations)] if 0 < n < size}
        )

    def flip(self, data, head):
        """A copy with one to three bytes changed, most of them in the head."""
        copy = bytearray(data)
        for _ in range(self.random.randint(1, 3)):
            at = self.random.randrange(head if self.random.random() < 0.8 else len(data))
            copy[at] = self.random.choice([0, 1, 0x7F, 0x80, 0xFF, copy[at] ^ 1 << self.random.randrange(8)])
        return bytes(copy)

    def copy_folder(self, source):
        target = self.folder / f"copy-{self.random.getrandbits(60):x}"
        shutil.copytree(source, target)
        return target

    def folder_with(self, source, name, data):
        """A copy of a model folder with one file replaced (bytes), edited (a function of its JSON) or removed (None)."""
        target = self.copy_folder(source)
        file = target / name
        if data is None:
            file.unlink()
        elif callable(data):
            value = json.loads(file.read_text())
            file.write_text(json.dumps(data(value) or value))
        else:
            file.write_bytes(data)
        return target

    def make_good(self):
        """Compiles the good models; False where that fails, as nothing else means anything then."""
        for model, artifact in ((self.gguf, self.artifact), (self.bert, self.embedder)):
            done, _ = self.compile(model, output=artifact)
            self.check(f"compile {model.name}", None if done.returncode == 0 else outcome(done))
        self.ok("verify", "verify", self.artifact)
        self.ok("generate", "generate", self.artifact, "--prompt", "the end", "--max-new-tokens", 2)
        return not self.failed
