#!/usr/bin/env python3
"""`transom explain`: a planted obstacle for each pass is named, its JSON and HTML are well formed, hostile names stay text."""

import json
import re
import sys
from html.parser import HTMLParser

import tiny_models
from harness import MINILM, SMOLLM2, Suite, outcome, refusal_problem
from obstacles import OBSTACLES, WITHOUT_OBSTACLE

# Keys of the JSON: docs/explain.md lists the same.
KEYS = {
    "": {"model", "architecture", "task", "seconds", "session_bytes", "sizes", "stages", "applied", "rejected", "programs", "graph"},
    "sizes": {"name", "min", "max", "typical"},
    "stages": {"name", "run", "seconds", "promises", "ops"},
    "applied": {"pass", "op", "condition", "text", "layers", "where", "places", "bytes", "launches"},
    "programs": {"name", "arena_bytes", "staging_bytes", "state_bytes", "weight_bytes", "distinct_kernels", "launches",
                 "products", "layers", "kernels", "steps", "buffers"},
    "programs.layers": {"layers", "count", "fewest", "most"},
    "programs.kernels": {"kernel", "steps", "at_bounds", "typical"},
    "programs.steps": {"kernel", "layer", "at_bounds", "typical"},
    "programs.buffers": {"name", "offset", "bytes", "first", "last"},
    "graph.before": {"name", "ops"},
    "graph.before.ops": {"op", "layer", "result", "reads", "others"},
}
KEYS["rejected"] = KEYS["applied"]
KEYS["graph.after"], KEYS["graph.after.ops"] = KEYS["graph.before"], KEYS["graph.before.ops"]

HOSTILE = r"""
module attributes {transom.bounds = {rows = [1, 4]}, transom.task = "run", transom.architecture = "<b>a</b>",
                   transom.model = "</script><img src=x onerror=alert(1)>\1B[31m"} {
  func.func @main(%x: tensor<?x4xf32> {transom.name = "<script>", transom.dims = ["rows", "4"]},
                  %y: tensor<4xf32> {transom.name = "y\0Ay"})
      -> (tensor<?x4xf32> {transom.name = "]]>"}) {
    %0 = transom.exp %y : (tensor<4xf32>) -> tensor<4xf32> loc("</script><script>alert(2)</script>\1B]0;t\07<!--")
    %1 = transom.mul %x, %0 : (tensor<?x4xf32>, tensor<4xf32>) -> tensor<?x4xf32> loc("layers.3.\FF\FE'\"&amp;")
    return %1 : tensor<?x4xf32>
  }
}
"""


class Page(HTMLParser):
    """Collects what a test wants to know of a page, and the errors in how its elements nest."""

    VOID = {"meta", "input", "br", "img", "link"}

    def __init__(self, text):
        super().__init__()
        self.open, self.problems, self.tags, self.loads, self.data = [], [], [], [], ""
        self.feed(text)
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        attributes = dict(attributes)
        self.loads += [v for k, v in attributes.items() if k in ("src", "href", "action", "data") and not (v or "").startswith("#")]
        self.problems += [f"an attribute {k} on <{tag}>" for k in attributes if k.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)
        self.is_data = attributes.get("id") == "data"

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")

    def handle_data(self, text):
        if self.open and self.open[-1] == "script" and self.is_data:
            self.data += text


class Explain(Suite):
    def __init__(self):
        super().__init__("explain", lambda parser: parser.add_argument("--models", action="store_true") and parser)

    def json(self, what, model, *flags):
        done = self.transom("explain", model, "--json", *flags)
        self.check(f"explain {what}", None if done.returncode == 0 else outcome(done))
        return json.loads(done.stdout) if done.returncode == 0 else None


def check_keys(t, what, value):
    """Every object has exactly the documented keys."""
    problems = []

    def visit(path, node):
        if isinstance(node, list):
            for item in node:
                visit(path, item)
        elif isinstance(node, dict):
            if path in KEYS and node.keys() != KEYS[path]:
                problems.append(f"{path or 'the object'}: {sorted(node.keys() ^ KEYS[path])}")
            for key, item in node.items():
                visit(f"{path}.{key}".lstrip("."), item)

    visit("", value)
    t.check(f"{what}: keys", "; ".join(sorted(set(problems))[:3]))


def check_sums(t, what, e):
    """What the parts say agrees: programs with steps, buffers with arenas, costs with their order."""
    for program in e["programs"]:
        name, steps = f"{what}: {program['name']}", program["steps"]
        running = [s for s in steps if s["kernel"] != "size"]
        t.check(f"{name}: steps", None if len(running) == program["launches"] + program["products"] else "steps are missing")
        in_layers = sum(layer["count"] * layer["fewest"] for layer in program["layers"])
        t.check(f"{name}: layers", None if in_layers <= len(steps) else f"{in_layers} steps in layers, {len(steps)} in all")
        outside = [b for b in program["buffers"] if b["offset"] + b["bytes"] > program["arena_bytes"] or b["last"] >= len(steps)]
        t.check(f"{name}: buffers lie in the arena", outside[:1])
        t.check(f"{name}: kernels", None if sum(k["steps"] for k in program["kernels"]) == len(steps) else "kernels do not add up")
        more = [s for s in steps if s["typical"]["bytes"] > s["at_bounds"]["bytes"] or s["typical"]["operations"] > s["at_bounds"]["operations"]]
        t.check(f"{name}: typical sizes cost no more than the bounds", more[:1])
        t.check(f"{name}: every step moves something", [s for s in steps if s["at_bounds"]["bytes"] <= 0][:1])
    costs = [-1 if f["bytes"] is None else f["bytes"] for f in e["rejected"]]
    t.check(f"{what}: the most expensive first", None if costs == sorted(costs, reverse=True) else str(costs))
    t.check(f"{what}: every rejection says where", [f for f in e["rejected"] if not f["where"] or not f["text"]][:1])


def check_page(t, what, model, *flags):
    """One page, well formed, that loads nothing; its data is what --json says. Returns its text."""
    file = t.folder / "page.html"
    if not t.ok(f"{what}: --html", "explain", model, f"--html={file}", *flags):
        return ""
    text = file.read_text()
    page = Page(text)
    t.check(f"{what}: well formed", page.problems[:3])
    t.check(f"{what}: loads nothing", page.loads)
    t.check(f"{what}: two scripts", None if page.tags.count("script") == 2 else f"{page.tags.count('script')} scripts")
    addresses = set(re.findall(r"\w+://[^\s\"'<>)]+", text.replace(page.data, "")))
    t.check(f"{what}: no address but SVG's name space", sorted(addresses - {"http://www.w3.org/2000/svg"}))
    t.check(f"{what}: a policy forbids loading", None if "default-src 'none'" in text else "none")
    t.check(f"{what}: both themes", None if "prefers-color-scheme: dark" in text else "one only")
    e = t.json(f"{what} again", model, *flags)
    data = json.loads(page.data)
    for value in (e, data):
        value["seconds"] = 0
        for stage in value["stages"]:
            stage["seconds"] = 0
    t.check(f"{what}: the page's data is the JSON", None if data == e else "they differ")
    return text


def check_obstacles(t):
    """Each pass that can be switched off has a graph with one obstacle, and names it."""
    done = t.transom("compile", "--list-passes")
    t.check("--list-passes", None if done.returncode == 0 else outcome(done))
    passes = {line for line in done.stdout.splitlines() if not line.endswith("(always)")}
    planted = {obstacle.name for obstacle in OBSTACLES}
    t.check("every pass has an obstacle", sorted(passes - planted - WITHOUT_OBSTACLE))
    for number, obstacle in enumerate(OBSTACLES):
        if obstacle.name not in passes:
            continue
        model = t.folder / f"obstacle-{number}.mlir"
        model.write_text(obstacle.graph)
        e = t.json(f"obstacle of {obstacle.name}", model, *obstacle.flags)
        if e is None:
            continue
        mine = [f for f in e["rejected"] if f["pass"] == obstacle.name]
        named = [f for f in mine if re.search(obstacle.says, f["text"]) and obstacle.place in f["where"]]
        t.check(f"{obstacle.name} names its obstacle", None if named else f"found {[(f['text'], f['where']) for f in mine]}")
        if named and obstacle.priced:
            t.check(f"{obstacle.name}: with a cost", None if any(f["bytes"] for f in named) else str(named))
        without = t.json(f"obstacle of {obstacle.name}, disabled", model, f"--disable={obstacle.name}", *obstacle.flags)
        t.check(f"{obstacle.name} says nothing where it is disabled", [f for f in without["rejected"] + without["applied"] if f["pass"] == obstacle.name])


def check_hostile(t):
    model = t.folder / "hostile.mlir"
    model.write_text(HOSTILE)
    check_page(t, "hostile names", model)
    done = t.transom("explain", model)
    t.check("hostile names as text", None if done.returncode == 0 else outcome(done))
    t.check("no control characters in it", sorted({c for c in done.stdout if ord(c) < 32 and c not in "\n\t"}))


def check_options(t, model):
    typical = t.json("--at", model, "--at", "seq=7", "--at=batch=2", "--max-batch=4")
    t.check("--at sets typical sizes", None if {s["name"]: s["typical"] for s in typical["sizes"]}.items() >= {("seq", 7), ("batch", 2)} else str(typical["sizes"]))
    smaller = t.json("--max-batch", model, "--max-batch=2")
    t.check("smaller bounds take less memory", None if smaller["session_bytes"] < typical["session_bytes"] else "they do not")
    off = t.json("-O0", model, "-O0")
    t.check("-O0 disables", [s["name"] for s in off["stages"] if s["run"] and s["name"] not in ("import", "lower-to-plan")])
    dump = t.folder / "dump"
    t.ok("--dump-dir", "compile", model, "-o", t.folder / "d.transom", "--quiet", "--dump-dir", dump)
    names = [f"{i:02}-{s['name']}.mlir" for i, s in enumerate(typical["stages"])]
    t.check("a dump for every pass, numbered", None if sorted(f.name for f in dump.iterdir()) == names else str(sorted(dump.iterdir())))
    heads = [f.read_text().splitlines()[:6] for f in sorted(dump.iterdir())]
    t.check("dumps begin with what is left", [h for h in heads if not any(re.match(r"// @\w+: \d+ ops", line) for line in h)])
    for what, flags in {
        "an unknown size": ["--at", "color=3"],
        "a size out of bounds": ["--at", "seq=0"],
        "no number": ["--at", "seq=x"],
        "an unknown pass": ["--disable=tidy"],
        "a page into a folder": [f"--html={t.folder}"],
        "a page into nowhere": [f"--html={t.folder}/none/page.html"],
    }.items():
        t.check(f"refuses {what}", refusal_problem(t.transom("explain", model, *flags)))
    for what, path in {"no file": t.folder / "none", "an artifact": t.folder / "d.transom"}.items():
        t.check(f"refuses {what}", refusal_problem(t.transom("explain", path)))


def main():
    t = Explain()
    llama = tiny_models.llama_folder(t.folder / "llama")
    models = {"llama": llama, "bert": tiny_models.bert_folder(t.folder / "bert")}
    if t.options.models:
        models = {"SmolLM2": SMOLLM2, "MiniLM": MINILM}
    for name, model in models.items():
        e = t.json(name, model)
        if e is None:
            continue
        check_keys(t, name, e)
        check_sums(t, name, e)
        check_page(t, name, model)
        t.check(f"{name}: in seconds", None if e["seconds"] < 30 else f"{e['seconds']} s")
        text = t.transom("explain", model).stdout
        t.check(f"{name}: the text names every pass", [s["name"] for s in e["stages"][1:] if s["name"] not in text])
    if not t.options.models:
        check_obstacles(t)
        check_hostile(t)
        check_options(t, llama)
    return t.finish()


if __name__ == "__main__":
    sys.exit(main())
