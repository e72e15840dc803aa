// plan-memory: offsets of arena buffers, so that buffers which are never in use together share bytes.
//
// 1. Buffers that a step may write over an argument it is the last to use join that argument's group: same offset.
// 2. Groups, the largest first, go to the lowest offset where they overlap no group that is in use at a common step
//    (Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference, 2020: greedy by size).
#include "passes/Passes.h"

#include "ir/Plan.h"

namespace transom {
#define GEN_PASS_DEF_PLANMEMORYPASS
#include "passes/Passes.h.inc"
} // namespace transom

using namespace mlir;
using llvm::SmallVector;

namespace transom {
namespace {

struct Group {
  SmallVector<plan::BufferOp> members;
  int64_t first, last; ///< steps
  int64_t bytes, offset = 0;
};

/// Joins the groups of a launch's result and of an argument that dies there, where the kernel allows it.
class InPlace {
public:
  InPlace(plan::ProgramOp program, SymbolTableCollection &symbols) : symbols(symbols) {
    for (plan::Lifetime &lifetime : plan::lifetimesOf(program, &steps)) {
      if (lifetime.first > lifetime.last)
        lifetime.first = lifetime.last = 0;
      groupOf[lifetime.buffer] = groups.size();
      groups.push_back({{lifetime.buffer}, lifetime.first, lifetime.last, plan::aligned(lifetime.buffer.getBytes())});
    }
  }

  /// The groups that are left, in the order of the program.
  SmallVector<Group> run() {
    for (auto [step, op] : llvm::enumerate(steps))
      if (auto launch = dyn_cast<plan::LaunchOp>(op))
        join(launch, step);
    SmallVector<Group> result;
    llvm::copy_if(groups, std::back_inserter(result), [](const Group &group) { return !group.members.empty(); });
    return result;
  }

private:
  void join(plan::LaunchOp launch, int64_t step) {
    auto kernel = symbols.lookupNearestSymbolFrom<plan::KernelOp>(launch, launch.getKernelAttr());
    llvm::SmallDenseSet<size_t> taken; // one argument takes one result
    for (Value output : launch.getOutputs())
      if (kernel)
        join(launch, kernel, output, step, taken);
  }

  void join(plan::LaunchOp launch, plan::KernelOp kernel, Value output, int64_t step, llvm::SmallDenseSet<size_t> &taken) {
    auto to = groupOf.find(plan::storageOf(output));
    if (to == groupOf.end() || groups[to->second].first != step)
      return;
    Group &result = groups[to->second];
    for (Value input : launch.getInputs()) {
      auto from = groupOf.find(plan::storageOf(input));
      if (from == groupOf.end() || from->second == to->second || groups[from->second].last != step || taken.contains(from->second))
        continue;
      Group &argument = groups[from->second];
      if (argument.first == step || argument.bytes != result.bytes || !plan::mayOverwrite(launch, kernel, input, output))
        continue;
      taken.insert(from->second);
      for (plan::BufferOp member : result.members) {
        argument.members.push_back(member);
        groupOf[member] = from->second;
      }
      argument.last = result.last;
      result.members.clear();
      return;
    }
  }

  SymbolTableCollection &symbols;
  SmallVector<Operation *> steps;
  SmallVector<Group> groups;
  llvm::DenseMap<Operation *, size_t> groupOf;
};

/// Sets every group's offset; gives the end of the last.
int64_t place(SmallVector<Group> &groups) {
  llvm::stable_sort(groups, [](const Group &a, const Group &b) { return a.bytes > b.bytes; });
  int64_t end = 0;
  SmallVector<const Group *> placed; // by offset
  for (Group &group : groups) {
    for (const Group *other : placed) {
      if (other->last < group.first || group.last < other->first)
        continue;
      if (group.offset + group.bytes <= other->offset)
        break;
      group.offset = std::max(group.offset, other->offset + other->bytes);
    }
    placed.insert(llvm::upper_bound(placed, &group, [](const Group *a, const Group *b) { return a->offset < b->offset; }), &group);
    end = std::max(end, group.offset + group.bytes);
  }
  return end;
}

struct PlanMemoryPass : impl::PlanMemoryPassBase<PlanMemoryPass> {
  using PlanMemoryPassBase::PlanMemoryPassBase;

  void runOnOperation() override {
    SymbolTableCollection symbols;
    for (auto program : getOperation().getOps<plan::ProgramOp>()) {
      SmallVector<Group> groups = InPlace(program, symbols).run();
      program.setArenaBytes(place(groups));
      for (Group &group : groups)
        for (plan::BufferOp member : group.members)
          member.setOffset(group.offset);
      plan::setPredictedBytes(program);
    }
  }
};

} // namespace
} // namespace transom
