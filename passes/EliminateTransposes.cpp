// eliminate-transposes, for each function:
// 1. From the first op to the last, take each transpose away and note in which order its result now stands. Two in a row
//    become one note, and cancel where they undo each other.
// 2. Let every other op compute on operands as they stand: axes and layouts are renamed, matrix products take the right
//    operand transposed, weights are rewritten as recipes, reshapes work on dimensions that stand side by side.
// 3. Where an op cannot, put a transpose in front of it: a view where only sizes of 1 move, else a rejection.
// 4. If that moved more bytes than the old transposes did, take all of it back.
// 5. Drop what is dead, and reshapes that undo each other.
#include "passes/Passes.h"
#include "passes/SinkTransposes.h"
#include "passes/Views.h"

using namespace mlir;

namespace transom {

#define GEN_PASS_DEF_ELIMINATETRANSPOSESPASS
#include "passes/Passes.h.inc"

namespace {

struct EliminateTransposesPass : impl::EliminateTransposesPassBase<EliminateTransposesPass> {
  using EliminateTransposesPassBase::EliminateTransposesPassBase;

  void runOnOperation() override {
    Reporter reporter(getArgument(), report);
    RecipeNames names(getOperation());
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      if (function.isExternal() || !function.getBody().hasOneBlock())
        continue;
      TransposeSinker(function, names, reporter).run();
      eraseDead(function);
      joinReshapes(function);
      eraseDead(function);
    }
  }
};

} // namespace
} // namespace transom
