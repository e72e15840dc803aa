#!/usr/bin/env python3
"""Which folder may include what. Prints each include that crosses a wall, or how many were checked."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
PROJECT = ("ir/", "passes/", "codegen/", "compiler/", "runtime/", "tools/")
MLIR = ("mlir/", "llvm/", "mlir-c/", "llvm-c/", "lld/")
SHARED = ("runtime/format/", "runtime/support/")

# Folder -> what of the project and of MLIR its files may include. The longest folder that fits counts.
MAY = {
    "runtime": ("runtime/",),
    "ir": ("ir/", "mlir/", "llvm/"),
    "passes": ("ir/", "passes/", "mlir/", "llvm/"),
    "codegen": ("ir/", "codegen/", *SHARED, *MLIR),
    "codegen/cpu/kernels": ("codegen/cpu/kernels/", "runtime/format/"),
    "compiler": ("ir/", "passes/", "codegen/", "compiler/", "runtime/", *MLIR),
    "compiler/import/files": ("compiler/import/files/", *SHARED),
    "compiler/interpreter": ("ir/", "compiler/interpreter/", "compiler/import/files/", *SHARED, *MLIR),
    "examples": (),
}


def folder_of(path):
    parts = path.relative_to(root).parts
    return next((folder for n in range(len(parts) - 1, 0, -1) if (folder := "/".join(parts[:n])) in MAY), None)


def main():
    crossings, checked = [], 0
    for folder in {name.split("/")[0] for name in MAY}:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".h", ".hpp", ".cpp", ".c", ".cuh", ".cu", ".td"):
                continue
            allowed = MAY[folder_of(path)]
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                checked += 1
                name = match.group(1)
                if name.startswith(PROJECT + MLIR) and not name.startswith(allowed):
                    crossings.append(f"{path.relative_to(root)}:{number}: {folder_of(path)}/ may not include {name}")
    if checked < 100:
        crossings.append(f"only {checked} includes found: the check looks at the wrong place")
    print("\n".join(crossings) or f"walls: {checked} includes checked, none crosses a wall")
    return 1 if crossings else 0


if __name__ == "__main__":
    sys.exit(main())
