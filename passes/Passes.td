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

def MakeKvStaticPass : Transom_Pass<"make-kv-static", "::mlir::ModuleOp"> {
  let summary = "turn past/present pairs into caches updated in place, and split prefill from decode";
  let description = [{
    Requires: @main with `transom.dims` on its arguments and `transom.bounds` on the module.
    Guarantees: either nothing changed, or @main became @prefill and @decode: each takes `lengths` and `past_lengths`
    [batch] and caches of fixed capacity instead of past tensors, mask and positions, gives logits of the last new token
    of each row, and its caches hold the new tokens; decode has one new token a row. Row b then computes what @main
    computes for a row of lengths[b] new tokens behind past_lengths[b] valid ones, whose positions count from 0.
    The capacity is the bound of past + seq, or the metadata's context_length where that is smaller.
    Leaves alone: @main if a condition of passes/KvCache.h does not hold; other functions.
  }];
}

def EliminateTransposesPass : Transom_Pass<"eliminate-transposes", "::mlir::ModuleOp"> {
  let summary = "move transposes down until they cancel, or into the ops, weights and caches that read them";
  let description = [{
    Requires: nothing. Guarantees: no transpose is left, except where a condition below failed, in front of the op that
    stopped it; those that move only sizes of 1 are reshapes where a reshape can say it. Where tensors come as
    [batch, seq, ...], all row-wise ops run in that order, rotary, attention and cache_append read bshd, and matrix products
    read float weights as [N, K]. Conditions, each a rejection where it fails, with the bytes that are moved for it:
    T1: dimensions that a reshape joins or splits stand side by side. T2: norms, matrix products, top_k, quantise and row
    reductions find their last dimension last. T3: the operands of an op stand in one order. T4: heads stand in bhsd or
    bshd. T5: results of the function stand in the order that its interface has. T6: operands of other ops stand as written.
    T7: nothing but such products reads a weight [K, N] that would be stored as [N, K]. T8: all in all fewer bytes are moved
    than before, else the function stays as it is.
    Leaves alone: what is computed, and the types of arguments and results.
  }];
}

def RemovePaddingPass : Transom_Pass<"remove-padding", "::mlir::ModuleOp"> {
  let summary = "pack the valid tokens of padded rows, and compute nothing for the others";
  let description = [{
    Requires: heads in layout bshd, as eliminate-transposes leaves them, and `transom.bounds` on the module.
    Guarantees: for each pair of sizes [batch, seq] whose tokens attention reads under one mask, or appends to caches by
    lengths, either nothing changed, or all that follows from attention and is computed token by token has the shape
    [tokens, ...], `tokens` being a new size that is found when it runs. Integers are packed once, in front of embeddings.
    Pooling over rows, their first and their last token read packed tokens; results of the padded form are unpacked, with
    zeros for the padding. Results agree at valid tokens; what stands at others in a padded result is undefined before and
    after. The first token of a row is its first valid one. Zeros that the mask puts in place of the padding are taken as
    such: what would be multiplied by them is not computed.
    Conditions, each a rejection where it fails: P1 to P8 of passes/PaddedTokens.h.
    Leaves alone: functions without attention; rows of one token, as in decode; rows of which a condition does not hold.
  }];
}

def AssignLayoutsPass : Transom_Pass<"assign-layouts", "::mlir::func::FuncOp"> {
  let summary = "make batch and seq one dimension of rows where nothing tells them apart";
  let description = [{
    Requires: names of sizes. Guarantees: ops that compute each row of [batch, seq, ...] by itself do so on [batch*seq, ...]:
    lookups, products with weights, norms, elementwise ops, rotary (thd), and what works along later dimensions. So one kernel
    serves prompts, single tokens and packed tokens. Views join and split rows; nothing is copied, but positions that are
    looked up once for all rows are looked up for each. Conditions, each a rejection where it fails:
    L1: each operand of an elementwise op has all rows, or is the same for all. L2: the sizes behind the rows are static.
    L3: rotary reads bshd with positions [batch, seq]. L4: the axis lies behind the rows. L5: a product's right operand is the
    same for all rows.
    Leaves alone: attention, caches, and other ops that tell rows from tokens.
  }];
}

def ChooseTokensEarlyPass : Transom_Pass<"choose-tokens-early", "::mlir::func::FuncOp"> {
  let summary = "compute what only one token of each row is read of for that token alone";
  let description = [{
    Requires: nothing; finds packed rows, as remove-padding leaves them. Guarantees: what first_token or last_token of packed rows
    chooses from is read elsewhere too, or not made by a norm, a product with a matrix, an elementwise op or a view of such rows. So behind the last layer's keys and values a model whose head
    reads one token of each row computes that token alone. A row without tokens, of which both give zeros, then has results that mean
    nothing. Condition, a rejection where it fails: C1: attention is over the rows' own tokens, without caches, and in front of
    first_token neither causal nor windowed: one query of a row stands at its last place.
    Leaves alone: padded rows, and at most 64 tokens, of which a product takes as long as of one.
  }];
}

def MergeProjectionsPass : Transom_Pass<"merge-projections", "::mlir::ModuleOp"> {
  let summary = "one matrix product for those that read the same rows";
  let description = [{
    Requires: nothing; finds only weights that are stored as [N, K], which fold-constants and eliminate-transposes see to.
    Guarantees: products of one left-hand side whose weights can be concatenated are one product with a recipe as its
    weight, its biases one addition, and slices of the last dimension for the readers. No weight is stored twice.
    Conditions, each a rejection where it fails: M1: rhs is a weight, constant or recipe [N, K] with transpose_rhs.
    M2: another product of that left-hand side has the same element types. M3: all readers of the weight, in every
    function, are products that merge alike. M4: the merged product has at most 65536 columns.
    Leaves alone: single products, and biases that are not stored vectors [N].
  }];
}

def QuantiseProductsPass : Transom_Pass<"quantise-products", "::mlir::ModuleOp"> {
  let summary = "products of layers with operands in 8 bits (E4M3)";
  let description = [{
    Requires: merged products with weights [N, K], as merge-projections leaves them. Guarantees: each product of tokens that takes it
    reads a weight in f8E4M3FN, a recipe that divides each row by its largest magnitude over 448, and rows of transom.round_e4m3; the
    scales of the weight's rows multiply the result. Rows have scales of their own, or with `scales` one number for each product, in
    the order of a function's ops: functions of one model have the same products. With `observe` nothing is rewritten: @main gets another result
    `e4m3.N` for each of them, the largest magnitude that product N reads.
    Conditions, each a rejection where it fails: Q1: rhs is a float weight, constant or recipe [N, K] with transpose_rhs. Q2: its
    rows are tokens that an attention op of the function reads too, more than 16 at their bounds. Q3: N is a multiple of 32, K of 16. Q4: it is
    of a layer: what is computed from it reaches a residual addition, so that heads stay as they are.
    Leaves alone: functions with caches, and everything but these products.
  }];
  let options = reporting # [
    ListOption<"scales", "scales", "double", "scales of the rows that products read, in their order">,
    Option<"observe", "observe", "bool", "false", "give largest magnitudes instead of rewriting">];
}

def FuseEpiloguePass : Transom_Pass<"fuse-epilogue", "::mlir::func::FuncOp"> {
  let summary = "one group of a product with a weight, the norm before it and the row-wise ops behind it";
  let description = [{
    Requires: nothing; finds most where merge-projections, eliminate-transposes and assign-layouts have been.
    Guarantees: what became a group reads the product's result nowhere but in the group. With at most 16 rows a group is a
    norm, the product, and ops on columns; with more, the product, ops on rows, and the norm behind them.
    Conditions, each a rejection where it fails, with the bytes that then go through memory: E1: the product's right-hand
    side is a stored [N, K] with transpose_rhs, its rows are f32. E2: an op is row-wise and fits the product's rows, as
    ir/Group.h says: equal rows, static widths, f32, and other operands the same for all rows. E3: a result that is read
    outside is an end, or only norms read it inside. E4: ops come as elementwise ones, slices, heads, rotary, append; or
    elementwise ones, a norm, quantize or round_e4m3. E5: an append is the cache's only reader. E6: at most 16 rows: all readers of the
    norm before are at most 4 such products. E7: a group has at most 32 ops.
    Leaves alone: products whose result is used as it is; reshapes at the ends, which are views outside.
  }];
}

def FuseNormPass : Transom_Pass<"fuse-norm", "::mlir::func::FuncOp"> {
  let summary = "one group of a norm, what makes its input row by row, and quantize or round_e4m3 behind it";
  let description = [{
    Requires: nothing; takes the norms that fuse-epilogue left. Guarantees: residual additions and embedding lookups that
    make a norm's input are in its group. Conditions, each a rejection where it fails, with the bytes that then go through
    memory: N1: the op is row-wise on the norm's rows (ir/Group.h). N2: nothing outside reads what it makes; of the norm's
    input itself the group gives a second result. N3: a group has at most 8 ops. N4: what the group reads does not depend on what it makes, as a scale
    computed from the norm's input would.
    Leaves alone: norms of what no elementwise op or embedding makes.
  }];
}

def FuseElementwisePass : Transom_Pass<"fuse-elementwise", "::mlir::func::FuncOp"> {
  let summary = "fuse elementwise ops that read each other into transom.fused regions";
  let description = [{
    Requires: nothing; works in groups too. Guarantees: of two elementwise ops of one shape where one is the other's only
    reader, both are in one region, unless F4. Nothing is computed twice but widening casts. Conditions, each a rejection
    where it fails: F1: all readers are elementwise. F2: they are in one region. F3: their shape is the op's. F4: the region stays within
    32 ops and 16 inputs.
    Leaves alone: single elementwise ops, reductions and all other ops.
  }];
}

def LowerToPlanPass : Transom_Pass<"lower-to-plan", "::mlir::ModuleOp"> {
  let summary = "lower entry functions to device programs";
  let description = [{
    Requires: functions of transom ops alone, whose arguments and results carry `transom.name`, whose dynamic sizes follow
    from `transom.dims` of the arguments, and a bound for each name. No cache value is used after its update.
    Guarantees: only plan ops are left; every program can run. Equal ops share a kernel. Ops that move nothing are views.
    A group is one step if ir/GroupKernel.h has a form of it: a launch, or with a product of more than 16 rows the matrix
    library's, whose epilogue is what follows the product; what comes before such a product is a launch. Other groups are
    inlined, each a rejection: G1 to G3 of passes/PlanGroups.h. With `activations` f16 or bf16 the arena and the states keep f32
    numbers in that type, but for those that a result is unpacked from.
    Leaves alone: the order of the ops; the module's attributes.
  }];
  let options = reporting # [Option<"activations", "activations", "std::string", "\"f32\"", "how f32 is stored in the arena and in states">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect", "::transom::plan::PlanDialect"];
}

def PlanMemoryPass : Transom_Pass<"plan-memory", "::mlir::ModuleOp"> {
  let summary = "place arena buffers so that those never in use together share bytes";
  let description = [{
    Requires: plan programs. Guarantees: two buffers overlap only if no step has both in use, or a step writes the one
    over the other at each element it reads; each program says what memory it takes.
    Leaves alone: everything but offsets and byte counts.
  }];
}

#endif
