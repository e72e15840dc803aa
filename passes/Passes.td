// The passes: what each requires, guarantees and leaves alone. `Foo Bar` is `foo-bar` in options, FooBar.cpp here.
#ifndef TRANSOM_PASSES_TD
#define TRANSOM_PASSES_TD

include "mlir/Pass/PassBase.td"

// Every pass can say what it left alone, and why: see Report.h.
class Transom_Pass<string argument, string operation> : Pass<argument, operation> {
  list<Option> reporting = [Option<"report", "report", "bool", "false", "emit a remark for every rejected rewrite">];
  let options = reporting;
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect", "::mlir::func::FuncDialect",
                           "::transom::TransomDialect"];
}

def FoldConstantsPass : Transom_Pass<"fold-constants", "::mlir::ModuleOp"> {
  let summary = "fold constants, and turn weight-only subgraphs into recipes";
  let description = [{
    Requires: nothing. Guarantees: equal pure ops are one, dead ones are gone, elementwise ops on splat constants are
    constants, and no op reads only weights and constants, except those listed below.
    A recipe is made only where it costs little to store: its result is at most as large as the weights and constants it
    reads, or at most 1 MiB, and nothing on the way there is more than 4 times as large as either.
    Leaves alone: matmul, attention, fused regions, and larger results (they are computed at run time).
  }];
}

#endif
