#!/usr/bin/env python3
"""The install tree and the package: another project finds and uses the library, and the archive runs from any folder.

Installs build/release, builds test/e2e/consumer against it, then runs tools/package and uses the archive with an empty
environment. Needs NumPy, for the tiny models.
"""

import re
import subprocess
import sys
import tarfile

import tiny_models
from harness import ROOT, Suite, outcome, refusal_problem

SIZE_MIB = 60
SYSTEM = re.compile(r"(linux-vdso|libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s|ld-linux-x86-64)\.so")
BUILD = ROOT / "build" / "release"


def sh(t, what, *command, environment=None):
    """Runs a command; returns its output, or None after a failed check."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, errors="replace", cwd=ROOT, env=environment
    )
    t.check(what, None if done.returncode == 0 else outcome(done))
    return done.stdout + done.stderr if done.returncode == 0 else None


def consumer(t, llm, embedder):
    tree, build = t.folder / "tree", t.folder / "consumer"
    if sh(t, "install", "cmake", "--install", BUILD, "--prefix", tree, "--strip") is None:
        return
    configured = sh(
        t,
        "find_package",
        "cmake",
        "-S",
        ROOT / "test/e2e/consumer",
        "-B",
        build,
        "-G",
        "Ninja",
        f"-DCMAKE_PREFIX_PATH={tree}",
    )
    if configured is None or sh(t, "build against the install tree", "cmake", "--build", build) is None:
        return
    text = sh(t, "run the C example", build / "generate", llm, "the end", 4)
    t.check("the C example writes", None if text and text.strip("\n") else f"found {text!r}")
    cosines = sh(t, "run the C++ example", build / "embed", embedder, "the end", "the end", "and")
    same = re.findall(r"^ *(-?\d\.\d+)  ", cosines or "", re.M)
    t.check(
        "the C++ example compares",
        None if len(same) == 3 and float(same[1]) > 0.9999 > float(same[2]) else f"found {cosines!r}",
    )
    done = subprocess.run([build / "generate", t.folder / "none", "x"], capture_output=True, text=True)
    t.check("the C example reports errors", None if done.returncode == 1 and "none" in done.stderr else outcome(done))
    found = sh(t, "run the encoder example", sys.executable, ROOT / "examples/fast_encoder/fast_encoder.py", "--tiny", "--repeat=1",
               "--no-transformers", "--work", t.folder / "fast_encoder", "--transom", BUILD / "bin/transom")  # fmt: skip
    rows = re.findall(r"^(?:small|large) +[23] +\d+ .*x$", found or "", re.M)
    t.check("the encoder example measures both batches", None if len(rows) == 2 else f"found {found!r}")
    headers = sorted(str(p.relative_to(tree / "include")) for p in (tree / "include").rglob("*.h*"))
    t.check("public headers", None if headers == ["transom/transom.h", "transom/transom.hpp"] else f"found {headers}")


def is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def check_libraries(t, package):
    """Every program and library of the package needs system libraries, or ones that travel with it."""
    programs = [
        p
        for folder in ("bin", "lib")
        for p in sorted((package / folder).iterdir())
        if p.is_file() and not p.is_symlink() and is_elf(p)
    ]
    for program in programs:
        needed = subprocess.run(["readelf", "-d", program], capture_output=True, text=True).stdout
        foreign = [
            name
            for name in re.findall(r"\(NEEDED\).*\[(.*)\]", needed)
            if not SYSTEM.match(name) and not (package / "lib" / name).exists()
        ]
        t.check(f"libraries of {program.name}", f"needs {foreign}" if foreign else None)
    return programs


def use_package(t, package, models):
    """Compiles and runs with the package's own programs, knowing nothing of this machine's environment."""
    program, bare = package / "bin" / "transom", {}
    t.ok("package: version", "--version", binary=program, environment=bare)
    for name, model in models.items():
        artifact = t.folder / f"package-{name}.transom"
        t.ok(f"package: compile {name}", "compile", model, "-o", artifact, "--quiet", binary=program, environment=bare)
        t.ok(f"package: verify {name}", "verify", artifact, binary=program, environment=bare)
    llm = t.folder / "package-llm.transom"
    prompt = ("--prompt", "the end and the beginning of another thing", "--max-new-tokens", 4)
    done = t.transom("generate", llm, *prompt, binary=program, environment={"LD_DEBUG": "files"})
    t.check("package: generate", None if done.returncode == 0 else outcome(done))
    loaded = set(re.findall(r"calling init: (.*/lib(?:dnnl|gomp)\S*)", done.stderr))
    outside = [path for path in loaded if not path.startswith(str(package))]
    t.check("package: oneDNN is its own", None if loaded and not outside else f"loaded {sorted(loaded) or 'none'}")
    sentences = t.folder / "sentences.txt"
    sentences.write_text("the end\nand\n")
    t.ok(
        "package: embed",
        "embed",
        t.folder / "package-embedder.transom",
        "--input",
        sentences,
        "--output",
        t.folder / "e.npy",
        binary=program,
        environment=bare,
    )
    missing = t.transom("generate", llm, *prompt, binary=program, environment={"TRANSOM_ONEDNN": "/nowhere/libdnnl.so"})
    t.check(
        "package: without oneDNN",
        refusal_problem(missing) or (None if "oneDNN" in missing.stderr else f"found {missing.stderr!r}"),
    )


def main():
    test = Suite("install")
    models = {
        "llm": tiny_models.llama_gguf(test.folder / "tiny.gguf"),
        "embedder": tiny_models.bert_folder(test.folder / "bert"),
    }
    artifacts = [test.folder / f"{name}.transom" for name in models]
    for (name, model), artifact in zip(models.items(), artifacts):
        test.ok(f"compile {name}", "compile", model, "-o", artifact, "--quiet")
    consumer(test, *artifacts)
    output = sh(test, "tools/package", ROOT / "tools/package")
    said = re.search(r"^package ok: (\S+), (\d+) MiB unpacked without oneDNN", output or "", re.M)
    test.check("tools/package says what it made", None if said or output is None else f"found {output[-200:]!r}")
    if said:
        size = int(said.group(2))
        test.check(f"at most {SIZE_MIB} MiB without oneDNN", None if size <= SIZE_MIB else f"{size} MiB")
        place = test.folder / "some where"
        with tarfile.open(ROOT / said.group(1)) as archive:
            archive.extractall(place)
        (package,) = place.iterdir()
        for folder in ("bin", "lib", "include", "share/doc/transom"):
            test.check(
                f"package: {folder}",
                None if (package / folder).is_dir() and any((package / folder).iterdir()) else "missing or empty",
            )
        check_libraries(test, package)
        use_package(test, package, models)
    return test.finish()


if __name__ == "__main__":
    sys.exit(main())
