#!/usr/bin/env python3
"""Small graphs that stand in the way of some pass, each written once a pass had failed on it: compiled code against the
reference interpreter, with every pass, each one off, and none; and graphs that no compiled code may take. Needs NumPy.
"""

import sys

import numpy as np
from agreement import Agreement
from harness import ROOT

GRAPHS = ROOT / "test" / "e2e" / "graphs"


def integers(*rows):
    return np.array(rows, "<i4")


def masked_extrema(rng):
    return {"x": -abs(rng.standard_normal((3, 3, 8))).astype("<f4"), "attention_mask": integers([1, 1, 1], [1, 1, 0], [0, 1, 1])}


def two_batches(rng):
    return {"i1": rng.integers(0, 4, (1, 3), "<i4"), "i2": rng.integers(0, 4, (3, 3), "<i4"), "pos": np.array([3, 0, 2], "<i4")}


def table_of_activations(rng):
    return {"x": rng.standard_normal((16, 64)).astype("<f4"), "perm": np.arange(15, -1, -1, dtype="<i4")}


def ties(rng):
    return {"x": np.array([[-0.0, 0.0, -1, -2, 0], [3, 1, 3, 3, 1]], "<f4")}


def ties_of_no_rows(rng):
    return {"x": np.zeros((0, 5), "<f4")}


# By graph: the inputs of its runs.
RUNS = {
    "masked_extrema": (masked_extrema,),
    "two_batches": (two_batches,),
    "table_of_activations": (table_of_activations,),
    "ties": (ties, ties_of_no_rows),
}
# Sizes whose names do not say that they fit: (arguments, op, its type, what the message shows).
UNFIT = {
    "two names": ("add %a, %b", '"rows", "m"', '"rows", "n"', "[rows, m], [rows, n]"),
    "a name and a number": ("mul %a, %b", '"rows", "m"', '"rows", "4"', "[rows, m], [rows, 4]"),
    "inner sizes": ("matmul %a, %b", '"rows", "m"', '"n", "m"', "[rows, m], [n, m]"),
}


def tensor(dims):
    return "tensor<" + "".join(f"{dim if dim.isdigit() else '?'}x" for dim in dims.replace('"', "").split(", ")) + "f32>"


def main():
    t = Agreement("graphs", lambda parser: parser)
    for name, makers in RUNS.items():
        model, given = GRAPHS / f"{name}.mlir", [make(np.random.default_rng(3)) for make in makers]
        references = [t.run(f"{name} on the interpreter", model, inputs, "--device=interpreter") for inputs in given]
        for variant, flags in t.variants():
            artifact = t.compiled(f"{name}, {variant}", model, flags)
            for inputs, reference in zip(given, references):
                got = artifact and reference and t.run(f"{name}, {variant}", artifact, inputs)
                for output in got or ():
                    t.compare(f"{name}, {variant}: {output}", got[output], reference[output])
    for what, (op, a, b, shown) in UNFIT.items():
        model = t.folder / "unfit.mlir"
        model.write_text(
            "module attributes {transom.bounds = {rows = [1, 8], m = [1, 8], n = [1, 8]}} {\n"
            f'  func.func @main(%a: {tensor(a)} {{transom.name = "a", transom.dims = [{a}]}}, %b: {tensor(b)} '
            f'{{transom.name = "b", transom.dims = [{b}]}}) -> (tensor<?x?xf32> {{transom.name = "y"}}) {{\n'
            f"    %0 = transom.{op} : ({tensor(a)}, {tensor(b)}) -> tensor<?x?xf32>\n    return %0 : tensor<?x?xf32>\n  }}\n}}\n"
        )
        for flags in ((), ("-O0",)):
            done = t.transom("compile", model, "-o", t.folder / "unfit.transom", *flags)
            fine = done.returncode == 1 and f"sizes fit by their names, found {shown}" in done.stderr
            t.check(f"{what} {' '.join(flags)}: refused", None if fine else done.stderr)
    return t.finish()


if __name__ == "__main__":
    sys.exit(main())
