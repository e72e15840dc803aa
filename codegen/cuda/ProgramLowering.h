// A program of the plan on its way to launches and products. One class in four files: ProgramLowering.cpp has its steps and
// groups, Products.cpp the products, Chains.cpp two products in one kernel, DecodeStep.cpp what the program `step` has beside the steps of
// `decode`.
#pragma once

#include "codegen/cuda/Gemv.h"
#include "codegen/cuda/NormChain.h"
#include "codegen/cuda/Steps.h"
#include "ir/GroupKernel.h"

namespace transom::cuda {

/// How a program of the plan becomes one of the artifact.
enum class Variant {
  plain,
  step ///< of `decode`: chooses tokens, and writes its inputs for the next run
};

/// Whether `step` can be made of the program: what docs/artifact.md says `decode` has.
bool isDecode(plan::ProgramOp program);

/// The first op of `rows` that needs whole rows: a norm, or rounding by a row's own scale. Null if none does.
mlir::Operation *wholeRowsOp(const RowProgram &rows);

/// `rows` behind `product`, [rows, n], in two at such an op: what stands before it, whose one result goes to `between`, and the op with what
/// stands behind, which read that. Nothing where no op needs whole rows, or a result needs the product otherwise too.
std::optional<std::pair<RowProgram, RowProgram>> cutAtWholeRows(const RowProgram &rows, mlir::Value product, int64_t n, const CudaBuffer &between);

/// A product with nothing behind it, as a value that goes to `out`.
RowProgram productAlone(mlir::Value product, const CudaBuffer &out, const DimExpr &rows);

class ProgramLowering {
public:
  ProgramLowering(plan::ProgramOp program, KernelPool &pool, WeightForms &weights, const CudaOptions &options, Variant variant, CudaForfeits &forfeits);
  /// Fails, after a diagnostic, on a step that has no CUDA form. Call it once.
  mlir::FailureOr<CudaProgram> run();

private:
  //===-- Buffers -------------------------------------------------------------------------------------------------===//

  CudaBuffer bufferOf(mlir::Value value);
  /// A step of the op, behind the scratch that is in use; `end` takes over what it added.
  Step begin(mlir::Operation *op, std::string name);
  void end(const Step &step);
  /// Memory until the end of the plan's step.
  CudaBuffer scratch(DType dtype, Dims shape);
  /// The type in which the program keeps numbers.
  DType activations();
  DimExpr rowsOf(mlir::Value lhs) { return product(llvm::ArrayRef(plan::sizesOf(lhs)).drop_back()); }
  int64_t most(const DimExpr &size);

  //===-- Steps ---------------------------------------------------------------------------------------------------===//

  /// From here on launches are this step's, and so is scratch.
  void enter(mlir::Operation *step);
  mlir::LogicalResult lower(mlir::Operation *op);
  mlir::LogicalResult lower(plan::SizeOp size);
  mlir::LogicalResult lower(plan::LaunchOp launch);
  /// Has the step of `launch` do what the launch behind it would, where its kernel can.
  void takeFollower(plan::LaunchOp launch, Step &step);
  void add(const CudaLaunchPlan &launch) { addOutside(launch, launch.rows); }
  void add(const CudaGemmPlan &gemm) { addOutside(gemm, gemm.m); }
  /// The step where no chain stands for it.
  template <class Plan> void addOutside(const Plan &plan, const DimExpr &rows);

  plan::KernelOp kernelOf(mlir::Operation *op, mlir::FlatSymbolRefAttr name);
  /// The launch of an `Op` that wrote `buffer`, if it was one.
  template <typename Op> std::pair<plan::LaunchOp, Op> makerOf(mlir::Value buffer);
  /// Places of the padded rows whose tokens `cumulative` counts, 1 where it counts one a row; `cumulative` is an operand of the op at work.
  DimExpr longestOf(mlir::Value cumulative);

  //===-- Groups --------------------------------------------------------------------------------------------------===//

  mlir::LogicalResult lowerGroup(GroupOp group, llvm::StringRef name, mlir::ValueRange inputs, mlir::ValueRange outputs);
  /// The row-wise ops `ops` of a group, with what they read and make.
  RowProgram rowProgram(const plan::GroupKernel &kernel, llvm::ArrayRef<mlir::Operation *> ops, mlir::ValueRange results,
                        const std::vector<CudaBuffer> &outputs, GroupOp group, mlir::ValueRange inputs);
  /// What comes before the product: its lhs in memory, one norm, or kernels of their own.
  mlir::LogicalResult prologue(const plan::GroupKernel &kernel, GemvProgram &gemv, GroupOp group, llvm::StringRef name, mlir::ValueRange inputs);
  plan::GroupKernel groupKernelOf(GroupOp group);
  /// What stands behind the product of a group, or all of a group without one.
  RowProgram epilogueOf(const plan::GroupKernel &kernel, GroupOp group, mlir::ValueRange inputs, mlir::ValueRange outputs);
  /// The launch of row-wise ops.
  mlir::LogicalResult addRows(const RowProgram &rows, llvm::StringRef name, const artifact::CudaCondition &when = {});

  //===-- Products (Products.cpp) ---------------------------------------------------------------------------------===//

  bool isFewRows(MatmulOp matmul, mlir::ValueRange inputs);
  mlir::LogicalResult lowerGemv(MatmulOp matmul, llvm::StringRef name, mlir::ValueRange inputs, mlir::ValueRange outputs);
  /// A product of few rows, by its own kernel, or as addWide has it where it has more rows.
  mlir::LogicalResult addGemv(GemvProgram gemv, llvm::StringRef name);
  /// The product first, then what follows it, row by row.
  mlir::LogicalResult addApart(GemvProgram gemv, llvm::StringRef name);
  /// The same from `least` rows on: the norm, and the product with what follows it, or by the library, and what follows it.
  mlir::LogicalResult addWide(const GemvProgram &gemv, llvm::StringRef name, int64_t least);
  /// A product by the library.
  void addProduct(CudaGemmPlan plan);
  /// A product of many rows.
  mlir::LogicalResult lower(plan::GemmOp gemm);
  /// The same by the kernels for some rows, with what stands behind: from `least` rows up to those that it gives back, 0 where they cannot.
  mlir::FailureOr<int64_t> addSkinny(const ProductProgram &product, int64_t least, llvm::StringRef name);
  /// The same by Hopper's own kernel, with what stands behind taken in as far as it works column by column; `plan` is the library's. False where that
  /// kernel cannot.
  mlir::FailureOr<bool> addHopper(const CudaGemmPlan &plan, ProductProgram program, const artifact::CudaCondition &when, llvm::StringRef name);
  /// The same by the kernel that has a norm behind the product, of rows in 16 or 8 bits, from `from` rows on or more: on Hopper from how many on it does all, INT64_MAX
  /// where it cannot. cut: what stands behind the product, at the norm.
  mlir::FailureOr<int64_t> addGemmNorm(const ProductProgram &product, const std::optional<std::pair<RowProgram, RowProgram>> &cut, int64_t from, llvm::StringRef name);
  /// The last number of rows before that.
  static int64_t lastBefore(int64_t from) { return from == INT64_MAX ? from : from - 1; }
  /// A product whose operands are kept in 8 bits (ProductsE4m3.cpp).
  mlir::LogicalResult lowerE4m3(plan::GemmOp gemm, CudaGemmPlan plan);
  /// The matrix of a product: in the type of lhs where that has 16 bits, as the file has it where lhs is f32.
  CudaBuffer matrixOf(mlir::Value weight, DType lhs);
  void convert(const CudaBuffer &from, const CudaBuffer &to, DimExpr count);
  /// The matrix decoded to `type`, in memory of this step.
  CudaBuffer unpacked(const CudaBuffer &matrix, mlir::RankedTensorType type, DType to);

  /// A product with what stands behind it, from operands in this form.
  ProductProgram productOf(plan::GemmOp gemm, const CudaBuffer &lhs, const CudaBuffer &weight);
  /// The norm's kernel behind a product in parts of K, which adds them: f32 [parts, most rows, n].
  mlir::LogicalResult addSum(const ProductProgram &product, const CudaBuffer &parts, llvm::StringRef name, const artifact::CudaCondition &when);

  //===-- Chains (Chains.cpp) -------------------------------------------------------------------------------------===//

  /// A kernel for few rows that stands for the first of `steps`, and the norm behind it; how many steps that are, 0 where there is none.
  mlir::FailureOr<size_t> addChain(llvm::ArrayRef<mlir::Operation *> steps);
  std::optional<SkinnyChain> chainOf(llvm::ArrayRef<mlir::Operation *> steps);
  /// The step's attention over what `product` gives, if it is that and nothing else.
  std::optional<ChainAttention> attentionOf(plan::GemmOp product, mlir::Operation *step);
  /// What stands between `before` and the last of `steps`, a product with an epilogue that reads what comes of it: attention (two steps), or an empty one for
  /// nothing. None where others read what stands between.
  std::optional<ChainAttention> linkOf(plan::GemmOp before, llvm::ArrayRef<mlir::Operation *> steps);
  /// Products with norms between them, as many as `steps` begin with; how many steps they take, 0 where there are no two.
  size_t normChainOf(llvm::ArrayRef<mlir::Operation *> steps, std::vector<NormChainProduct> &chain);
  /// A product of such a chain: one that gives columns, and one that reads those of `before`, or attention over them (two steps), and ends in a norm.
  std::optional<NormChainProduct> columnsOf(mlir::Operation *step);
  std::optional<NormChainProduct> toNormOf(plan::GemmOp before, llvm::ArrayRef<mlir::Operation *> steps);
  mlir::LogicalResult addNormChain(llvm::ArrayRef<mlir::Operation *> steps, llvm::ArrayRef<NormChainProduct> chain);

  //===-- The program `step` (DecodeStep.cpp) ---------------------------------------------------------------------===//

  /// Logits in memory of the program, inputs and outputs that `decode` does not have.
  void prepareStep();
  /// The kernel that chooses the tokens, and the one that writes the inputs of the next run.
  void addSample();
  void addAdvance();
  /// Of the product that makes the logits: a place for the largest of each row.
  void addBest(GemvProgram &gemv, mlir::ValueRange outputs);
  CudaBuffer best();
  /// Puts that place behind what other steps share of the workspace.
  void placeBest();
  /// Inputs that `decode` has, inputs that it does not have, and the output.
  CudaBuffer planInput(llvm::StringRef name);
  CudaBuffer ownInput(llvm::StringRef name);
  CudaBuffer tokens();
  plan::BufferOp named(plan::BufferKind kind, llvm::StringRef name);

  plan::ProgramOp program;
  mlir::ModuleOp module;
  KernelPool &pool;
  WeightForms &weights;
  const CudaOptions &options;
  CudaForfeits &forfeits;
  Variant variant;
  CudaProgram result;
  std::string source;
  llvm::DenseMap<mlir::Value, CudaBuffer> overrides;
  llvm::DenseMap<mlir::Value, mlir::Value> operands; ///< of the op at work: plan buffers
  llvm::DenseSet<mlir::Operation *> followers; ///< launches whose work the kernel before them does
  plan::BufferOp logits;
  bool hasBest = false;
  int64_t chained = 0; ///< up to so many rows a chain stands for the step at work on Hopper
  int64_t kept = 0, scratchAt = 0, mostScratch = 0, workspaceBytes = 0, bestBytes = 0;
};

} // namespace transom::cuda
