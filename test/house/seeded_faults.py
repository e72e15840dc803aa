"""The faults of seeded_bugs.py: in `file`, the text `old`, which stands there once, becomes `new`. `area` chooses the steps that
look for it. Faults are of the kind that people make: a wrong bound, a swapped operand, a forgotten condition."""


def fault(area, name, file, old, new):
    return {"area": area, "name": name, "file": file, "old": old, "new": new}


KERNELS = "codegen/cpu/kernels/"

FAULTS = [
    # Passes: a condition that is not asked, a size or an operand that is the wrong one.
    fault("passes", "kv: other uses of the past are allowed", "passes/KvCache.cpp", "if (!past.hasOneUse())", "if (false)"),
    fault("passes", "kv: attention need not be causal", "passes/KvCache.cpp", "if (!attention.getCausal())", "if (false)"),
    fault("passes", "kv: results besides the caches are dropped", "passes/KvCache.cpp", "if (others.size() != 1)", "if (others.empty())"),
    fault("passes", "fusion: readers of other shapes are allowed", "passes/FuseElementwise.cpp",
          "if (mine.size() != theirs.size() || !std::equal(mine.begin(), mine.end(), theirs.begin())) {",
          "if (mine.size() != theirs.size()) {"),
    fault("passes", "last token: broadcasts over tokens are allowed", "passes/SinkLastToken.cpp",
          "else if (found.size() + 2 > result.size())", "else if (found.size() > result.size())"),
    fault("passes", "kv: rows may be mixed", "passes/KvCache.cpp",
          "if (Operation *op = findMixingOp(", "if (Operation *op = nullptr; false && findMixingOp("),
    fault("passes", "transposes: reduced dimensions keep their numbers", "passes/SinkTransposes.cpp",
          "axes.push_back(placed.order[axis]);", "axes.push_back(axis);"),
    fault("passes", "transposes: slices keep their axis", "passes/SinkTransposes.cpp",
          "cast<Op>(copy).setAxis(placed.order[op.getAxis()]);", "cast<Op>(copy).setAxis(op.getAxis());"),
    fault("passes", "transposes: norms take any order", "passes/SinkTransposes.cpp",
          "  llvm::erase(layout, last);\n  layout.push_back(last);\n", ""),
    fault("passes", "transposes: composed the wrong way round", "passes/SinkTransposes.cpp",
          "compose(placed.order, transpose.getPermutation())", "compose(transpose.getPermutation(), placed.order)"),
    fault("passes", "transposes: attention keeps its layout", "passes/SinkThroughHeads.cpp",
          "[&](Operation *copy) { cast<AttentionOp>(copy).setLayout(layout); }", "[&](Operation *) {}"),
    fault("passes", "recipes: names are not made unique", "passes/Recipes.cpp",
          "for (int copy = 2; !taken.insert(name).second; ++copy)", "for (int copy = 2; copy < 2; ++copy)"),
    # Plan.
    fault("plan", "memory: buffers in use at one step share bytes", "passes/PlanMemory.cpp",
          "if (other->last < group.first || group.last < other->first)", "if (other->last <= group.first || group.last <= other->first)"),
    fault("plan", "memory: in place over an input that is read later", "passes/PlanMemory.cpp",
          "groups[from->second].last != step || taken.contains(from->second))", "taken.contains(from->second))"),
    fault("plan", "lowering: a transpose of two axes is a view", "passes/LowerToPlan.cpp", "if (axis < last)", "if (axis + 1 < last)"),
    # Kernels.
    fault("kernels", "attention: causal queries see one key more", KERNELS + "Attention.h",
          "causal ? max64(0, min64(keys, own + 1)) : keys};", "causal ? max64(0, min64(keys, own + 2)) : keys};"),
    fault("kernels", "attention: the window is one key wider", KERNELS + "Attention.h", "max64(0, own - window + 1)", "max64(0, own - window)"),
    fault("kernels", "attention: sums are not rescaled", KERNELS + "Attention.h", "    sum *= kept;\n", "    sum *= (F32)(1.0f);\n"),
    fault("kernels", "attention: grouped heads in the wrong order", KERNELS + "Attention.h",
          "(batch * queries + query) * heads + head, kvHead = head / (heads / kvHeads);", "(batch * queries + query) * heads + head, kvHead = head % kvHeads;"),
    fault("kernels", "rotary: the second half turns the other way", KERNELS + "Attention.h",
          "to[i * step + apart] = b * cosine[i] + a * sine[i];", "to[i * step + apart] = b * cosine[i] - a * sine[i];"),
    fault("kernels", "rotary: numbers behind the rotated ones are lost", KERNELS + "Attention.h",
          "for (int64_t i = dims; i < headDim; ++i)", "for (int64_t i = dims + 1; i < headDim; ++i)"),
    # Runtime.
    fault("runtime", "plan: sizes stay those of the first run", "runtime/ProgramPlan.cpp", "  bound_ = false;\n", "  if (!symbols_.empty()) return {};\n"),
    fault("runtime", "plan: the last part of the work is left out", "runtime/ProgramPlan.cpp",
          "(work + perChunk - 1) / perChunk);", "work / perChunk);"),
    fault("runtime", "plan: threads share scratch memory", "runtime/ProgramPlan.cpp", "c.storage.scratch + thread * c.storage.scratchPerThread", "c.storage.scratch"),
]
