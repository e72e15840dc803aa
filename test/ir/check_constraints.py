"""Each numbered constraint of each op has a test that violates it, each op a round trip and a numeric test.

Reads the op definitions in ir/*.td and the texts of test/ir/*.mlir and test/interpreter/*.mlir; prints what is missing.
Usage: check_constraints.py <source folder>
"""
import pathlib
import re
import sys

CLASS = re.compile(r"^(class|def) (\w+)[^\n]*", re.MULTILINE)
# Ops without numbers of their own: a terminator is tested with the regions it ends.
NO_NUMERIC_TEST = {"yield"}


def definitions(source):
    """(mnemonic, constraints) of each op of the graph dialect."""
    text = "\n".join(path.read_text() for path in sorted(source.glob("ir/*.td")) if path.name != "Plan.td")
    text = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
    starts = list(CLASS.finditer(text))
    classes = {}
    for start, end in zip(starts, [match.start() for match in starts[1:]] + [len(text)]):
        body = text[start.start():end]
        parent = re.search(r":\s*(Transom_\w+)\s*<", body)
        inherited = classes.get(parent[1], set()) if parent else set()
        constraints = set(re.findall(r"\bC\d+\b", body)) | inherited
        if start[1] == "class":
            classes[start[2]] = constraints
        elif parent and start[2].endswith("Op"):
            yield re.search(r'<\s*"(\w+)"', body[body.index(parent[1]):])[1], constraints


def read(folder, keep):
    return "\n".join(path.read_text() for path in sorted(folder.glob("*.mlir")) if keep(path.stem))


def main():
    source = pathlib.Path(sys.argv[1])
    invalid = read(source / "test/ir", lambda stem: stem.endswith("-invalid"))
    valid = read(source / "test/ir", lambda stem: not stem.endswith("-invalid"))
    numeric = read(source / "test/interpreter", lambda stem: not stem.endswith("-invalid"))
    missing, ops, count = [], list(definitions(source)), 0
    for op, constraints in ops:
        name = f"transom.{op}"
        for constraint in sorted(constraints):
            count += 1
            if f"'{name}' op {constraint}: " not in invalid:
                missing.append(f"{name} {constraint}: no test violates it")
        if not re.search(rf"CHECK.*\b{re.escape(name)}\b", valid):
            missing.append(f"{name}: no round trip test")
        if op not in NO_NUMERIC_TEST and not re.search(rf"\b{re.escape(name)}\b", numeric):
            missing.append(f"{name}: no numeric test")
    for line in missing:
        print(line)
    print(f"{len(ops)} ops, {count} constraints, {len(missing)} missing")
    # Far fewer would mean that the definitions were not understood.
    return 1 if missing or len(ops) < 40 or count < 60 else 0


if __name__ == "__main__":
    sys.exit(main())
