// Products of a program, by how many rows they have: few by kernels that take in what stands before and behind; some by kernels that take in
// what stands behind; many by cuBLASLt, or on sm_90a by a kernel that takes in what stands behind.
#include "codegen/cuda/ProgramLowering.h"

#include "codegen/cuda/GemmNorm.h"
#include "codegen/cuda/GemmSkinny.h"
#include "codegen/cuda/GemmTiles.h"
#include "codegen/cuda/Rows.h"

using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

namespace transom::cuda {

/// Up to so many rows Gemv.cuh reads a 16-bit matrix faster than others. Llama-3.2-1B on an H200, ms a step: of 4 rows 0.89, of 5 by
/// GemmSkinny.cuh 0.90, of 8 1.69 and 0.92.
static constexpr int64_t mostOwnRows = 4;
/// From so many rows on GemmHopper.cuh computes a product of `columns` columns: from 128 on, where a tile is full, or from as many tiles of
/// [128, 128] on as there are multiprocessors.
static int64_t leastHopperRows(ProductKernels products, int64_t columns) {
  constexpr int64_t tile = 128, blocks = 132;
  int64_t across = llvm::divideCeil(columns, tile), down = products == ProductKernels::own ? 1 : llvm::divideCeil(blocks, across);
  return down == 1 ? tile : (down - 1) * tile + 1;
}

Operation *wholeRowsOp(const RowProgram &rows) {
  auto *found = llvm::find_if(rows.ops, [](Operation *op) {
    auto round = dyn_cast<RoundE4m3Op>(op);
    return isa<RmsNormOp, LayerNormOp>(op) || (round && !round.getScale());
  });
  return found == rows.ops.end() ? nullptr : *found;
}

/// Whether a result of `rows` needs `product` other than through `cut`.
static bool reaches(const RowProgram &rows, Value product, Value cut) {
  SmallVector<Value> open(rows.results.begin(), rows.results.end());
  while (!open.empty()) {
    Value value = open.pop_back_val();
    if (value == product)
      return true;
    if (Operation *op = value == cut || rows.memory.contains(value) ? nullptr : value.getDefiningOp())
      llvm::append_range(open, op->getOperands());
  }
  return false;
}

std::optional<std::pair<RowProgram, RowProgram>> cutAtWholeRows(const RowProgram &rows, Value product, int64_t n, const CudaBuffer &between) {
  Operation *whole = wholeRowsOp(rows);
  Value cut = whole ? reshapedFrom(whole->getOperand(0)) : Value();
  if (!whole || rows.width(cut) != n || reaches(rows, product, cut))
    return std::nullopt;
  std::pair parts(rows, rows);
  parts.first.results = {cut}, parts.first.outputs = {between};
  parts.second.memory.erase(product);
  parts.second.memory[cut] = between;
  return parts;
}

RowProgram productAlone(Value product, const CudaBuffer &out, const DimExpr &rows) {
  RowProgram alone;
  alone.results = {product}, alone.outputs = {out}, alone.rows = rows;
  alone.leading[product] = unsigned(cast<RankedTensorType>(product.getType()).getRank() - 1);
  return alone;
}

CudaBuffer ProgramLowering::matrixOf(Value weight, DType lhs) { return lhs == DType::f32 ? weights.read(weight) : weights.matrix(weight, lhs); }

bool ProgramLowering::isFewRows(MatmulOp matmul, ValueRange inputs) {
  return plan::isGemv(matmul) && plan::storageOf(inputs[1]).getKind() == plan::BufferKind::weight && most(rowsOf(inputs[0])) <= maxGemvRows;
}

LogicalResult ProgramLowering::lowerGemv(MatmulOp matmul, StringRef name, ValueRange inputs, ValueRange outputs) {
  GemvProgram gemv;
  gemv.root = matmul;
  gemv.lhs = bufferOf(inputs[0]);
  gemv.weight = matrixOf(inputs[1], storedType(gemv.lhs));
  gemv.epilogue = productAlone(matmul.getResult(), bufferOf(outputs[0]), rowsOf(inputs[0]));
  gemv.mostRows = most(gemv.epilogue.rows);
  addBest(gemv, outputs);
  return addGemv(gemv, name);
}

LogicalResult ProgramLowering::addGemv(GemvProgram gemv, StringRef name) {
  gemv.oneForm = options.batchInvariant;
  bool wide = gemv.mostRows > mostOwnRows && !gemv.best && storedType(gemv.lhs) != DType::f32 && storedType(gemv.weight) == storedType(gemv.lhs);
  if (wide && options.batchInvariant) {
    ++forfeits.toLibrary;
    return addWide(gemv, name, 0);
  }
  bool severalForms = gemv.mostRows > 1 && cast<RankedTensorType>(gemv.root.getRhs().getType()).getDimSize(1) % 8 == 0;
  forfeits.fewRows += gemv.oneForm && severalForms;
  GemvProgram own = gemv;
  if (wide)
    own.mostRows = mostOwnRows;
  FailureOr<std::optional<CudaLaunchPlan>> plan = emitGemv(pool, own, name);
  if (failed(plan))
    return failure();
  if (!*plan)
    return addApart(gemv, name);
  hasBest |= gemv.best.has_value();
  if (wide)
    (*plan)->when.most = mostOwnRows;
  add(**plan);
  return wide ? addWide(gemv, name, mostOwnRows + 1) : success();
}

LogicalResult ProgramLowering::addApart(GemvProgram gemv, StringRef name) {
  Value product = gemv.root.getResult();
  RowProgram behind = gemv.epilogue;
  int64_t columns = dimsOf(product.getType()).back().constant().value_or(0);
  behind.memory[product] = scratch(DType::f32, {behind.rows, DimExpr(columns)});
  gemv.epilogue.ops.clear(), gemv.epilogue.memory.clear();
  gemv.epilogue.results = {product};
  gemv.epilogue.outputs = {behind.memory[product]};
  gemv.best.reset();
  FailureOr<std::optional<CudaLaunchPlan>> plan = emitGemv(pool, gemv, (name + "_product").str());
  if (failed(plan))
    return failure();
  assert(*plan && "a product alone needs no partner");
  add(**plan);
  return addRows(behind, (name + "_rows").str());
}

void ProgramLowering::addProduct(CudaGemmPlan plan) {
  plan.oneAlgorithm = options.batchInvariant;
  forfeits.library += plan.oneAlgorithm && plan.when.architectures != artifact::Architectures::others; // else it counts as Hopper's
  add(plan);
}

LogicalResult ProgramLowering::addWide(const GemvProgram &gemv, StringRef name, int64_t least) {
  DimExpr rows = gemv.epilogue.rows;
  Value product = gemv.root.getResult();
  auto type = cast<RankedTensorType>(gemv.root.getRhs().getType());
  CudaGemmPlan plan;
  plan.m = rows, plan.n = DimExpr(type.getDimSize(0)), plan.k = DimExpr(type.getDimSize(1));
  plan.when.least = least;
  plan.lhs = gemv.lhs, plan.rhs = gemv.weight;
  if (gemv.norm) {
    RowProgram before;
    before.ops = {gemv.norm};
    before.leading = gemv.epilogue.leading;
    before.results = {gemv.norm->getResult(0)};
    plan.lhs = scratch(storedType(gemv.lhs), {rows, plan.k});
    before.outputs = {plan.lhs};
    before.memory[gemv.norm->getOperand(0)] = gemv.lhs, before.memory[gemv.norm->getOperand(1)] = gemv.normScale;
    if (gemv.norm->getNumOperands() > 2)
      before.memory[gemv.norm->getOperand(2)] = gemv.normBias;
    before.rows = rows;
    if (failed(addRows(before, (name + "_norm").str(), plan.when)))
      return failure();
  }
  ProductProgram skinny{product, plan.lhs, plan.rhs, type.getDimSize(0), type.getDimSize(1), gemv.epilogue};
  FailureOr<int64_t> done = addSkinny(skinny, least, name);
  if (failed(done))
    return failure();
  if (*done >= gemv.mostRows)
    return success();
  if (gemv.epilogue.ops.empty()) {
    plan.out = gemv.epilogue.outputs.front();
    addProduct(plan);
    return success();
  }
  plan.out = scratch(storedType(gemv.lhs), {rows, plan.n});
  addProduct(plan);
  RowProgram behind = gemv.epilogue;
  behind.memory[product] = plan.out;
  return addRows(behind, (name + "_wide").str(), plan.when);
}

LogicalResult ProgramLowering::lower(plan::GemmOp gemm) {
  CudaGemmPlan plan;
  plan.m = *DimExpr::parse(gemm.getM()), plan.n = *DimExpr::parse(gemm.getN()), plan.k = *DimExpr::parse(gemm.getK());
  plan.lhs = bufferOf(gemm.getLhs()), plan.out = bufferOf(gemm.getOut());
  if (storedType(plan.lhs) == DType::f32 && storedType(plan.out) != DType::f32) {
    CudaBuffer narrow = scratch(storedType(plan.out), {plan.m, plan.k});
    convert(plan.lhs, narrow, plan.m * plan.k);
    plan.lhs = narrow;
  }
  DType type = storedType(plan.lhs);
  if (type == DType::f8e4m3)
    return lowerE4m3(gemm, plan);
  plan.tf32 = options.tf32 && type == DType::f32;
  plan.rhs = matrixOf(gemm.getRhs(), type);
  auto matrix = cast<RankedTensorType>(plan::tensorOf(gemm.getRhs()));
  if (storedType(plan.rhs) != type)
    plan.rhs = unpacked(plan.rhs, matrix, type);
  const int64_t n = plan.n.constant().value_or(0), k = plan.k.constant().value_or(0);
  if (!gemm.getEpilogue()) {
    Block block; // of the product as a value
    Value product = block.addArgument(plan::tensorOf(gemm.getOut()), gemm.getLoc());
    FailureOr<int64_t> skinny = addSkinny({product, plan.lhs, plan.rhs, n, k, productAlone(product, plan.out, plan.m)}, 0, "product");
    if (failed(skinny))
      return failure();
    plan.when.least = *skinny ? *skinny + 1 : 0;
    if (plan.when.least <= most(plan.m))
      addProduct(plan);
    return success();
  }
  plan::KernelOp kernel = kernelOf(gemm, gemm.getEpilogueAttr());
  const ProductProgram product = productOf(gemm, plan.lhs, plan.rhs);
  FailureOr<int64_t> skinny = addSkinny(product, 0, kernel.getSymName());
  if (failed(skinny))
    return failure();
  const int64_t from = *skinny ? *skinny + 1 : 0;
  if (most(plan.m) < from)
    return success();
  FailureOr<int64_t> normFrom = addGemmNorm(product, cutAtWholeRows(product.epilogue, product.product, n, plan.out), from, kernel.getSymName());
  if (failed(normFrom))
    return failure();
  int64_t ownFrom = *normFrom; // on Hopper
  const int64_t least = options.batchInvariant ? 0 : leastHopperRows(options.products, std::max<int64_t>(n, 1));
  if (options.products != ProductKernels::library && least <= most(plan.m) && least < ownFrom) {
    FailureOr<bool> own = addHopper(plan, product, {.least = least, .most = lastBefore(ownFrom), .architectures = artifact::Architectures::hopper}, kernel.getSymName());
    if (failed(own))
      return failure();
    forfeits.tiles += *own && least == 0;
    if (*own)
      ownFrom = least;
  }
  std::vector<artifact::CudaCondition> library = {{.least = from}};
  if (ownFrom <= most(plan.m)) {
    library[0].architectures = artifact::Architectures::others;
    if (ownFrom > from)
      library.push_back({.least = from, .most = ownFrom - 1, .architectures = artifact::Architectures::hopper});
  }
  for (const artifact::CudaCondition &when : library) {
    plan.when = when;
    addProduct(plan);
    if (failed(addRows(product.epilogue, kernel.getSymName(), when)))
      return failure();
  }
  return success();
}

ProductProgram ProgramLowering::productOf(plan::GemmOp gemm, const CudaBuffer &lhs, const CudaBuffer &weight) {
  auto group = cast<GroupOp>(kernelOf(gemm, gemm.getEpilogueAttr()).getOp());
  SmallVector<Value> inputs = {gemm.getOut()};
  llvm::append_range(inputs, gemm.getExtras());
  auto number = [](StringRef size) { return DimExpr::parse(size)->constant().value_or(0); };
  RowProgram behind = epilogueOf(groupKernelOf(group), group, inputs, gemm.getResults());
  return {group.getBody().getArgument(0), lhs, weight, number(gemm.getN()), number(gemm.getK()), std::move(behind)};
}

LogicalResult ProgramLowering::addSum(const ProductProgram &product, const CudaBuffer &parts, StringRef name, const artifact::CudaCondition &when) {
  RowProgram behind = product.epilogue;
  behind.memory[product.product] = parts;
  behind.parts = product.product;
  return addRows(behind, (name + "_sum").str(), when);
}

FailureOr<int64_t> ProgramLowering::addSkinny(const ProductProgram &product, int64_t least, StringRef name) {
  const int64_t limit = options.batchInvariant ? 0 : skinnyRows(product), rows = std::min(most(product.epilogue.rows), limit);
  if (limit == 0)
    return 0;
  const artifact::CudaCondition when{.least = least, .most = limit};
  if (!wholeRowsOp(product.epilogue)) {
    FailureOr<std::optional<CudaLaunchPlan>> launch = emitSkinnyGemm(pool, product, rows, (name + "_skinny").str());
    if (failed(launch))
      return failure();
    if (!*launch)
      return 0;
    (*launch)->when = when;
    add(**launch);
    return limit;
  }
  // The kernel for what needs whole rows, a norm, adds the parts.
  const CudaBuffer parts = scratch(DType::f32, {skinnyParts(product.n, product.k), mostSkinnyRows, product.n});
  CudaLaunchPlan launch = emitSkinnyParts(pool, product, parts, rows, (name + "_parts").str());
  launch.when = when;
  add(launch);
  if (failed(addSum(product, parts, name, when)))
    return failure();
  return limit;
}

FailureOr<int64_t> ProgramLowering::addGemmNorm(const ProductProgram &product, const std::optional<std::pair<RowProgram, RowProgram>> &cut, int64_t from, StringRef name) {
  const int64_t none = INT64_MAX, least = std::max(from, options.products == ProductKernels::own ? 0 : leastNormRows(product.n));
  const DType type = storedType(product.lhs);
  // Of 16 bits the library's product and a norm are faster, and where rows have the same bits in any batch, one kernel alone computes them.
  const bool wanted = options.products == ProductKernels::own || (options.products == ProductKernels::wide && type == DType::f8e4m3);
  if (!wanted || options.batchInvariant || least > most(product.epilogue.rows) || !cut || type == DType::f32 || storedType(product.weight) != type)
    return none;
  ProductProgram until = product;
  until.epilogue = cut->first;
  FailureOr<std::optional<CudaLaunchPlan>> launch = emitGemmNorm(pool, until, cut->second, (name + "_norm").str());
  if (failed(launch))
    return failure();
  if (!*launch)
    return none;
  (*launch)->when = {.least = least, .architectures = artifact::Architectures::hopper};
  add(**launch);
  return least;
}

FailureOr<bool> ProgramLowering::addHopper(const CudaGemmPlan &plan, ProductProgram program, const artifact::CudaCondition &when, StringRef name) {
  DType type = storedType(plan.lhs);
  if ((type != DType::f16 && type != DType::bf16) || storedType(plan.rhs) != type || !program.n || !program.k)
    return false;
  // What stands before an op that needs whole rows goes to memory, in place of the product. Such an op, a norm, is a kernel of its own here
  // either way, and the library's product alone is the faster one.
  std::optional<std::pair<RowProgram, RowProgram>> cut = cutAtWholeRows(program.epilogue, program.product, program.n, plan.out);
  if (wholeRowsOp(program.epilogue) && (options.products == ProductKernels::wide || !cut))
    return false;
  if (cut)
    program.epilogue = cut->first;
  FailureOr<std::optional<CudaLaunchPlan>> launch = emitHopperGemm(pool, program, (name + "_product").str());
  if (failed(launch))
    return failure();
  if (!*launch)
    return false;
  (*launch)->when = when;
  add(**launch);
  if (cut && failed(addRows(cut->second, (name + "_rows").str(), when)))
    return failure();
  return true;
}

void ProgramLowering::convert(const CudaBuffer &from, const CudaBuffer &to, DimExpr count) {
  KernelText text(pool);
  text.include("Rows.cuh");
  std::string x = text.pointer(from), y = text.pointer(to, true);
  text.line("launchDependents();");
  text.line("const int64 i = (int64)blockIdx.x * 256 + threadIdx.x, count = " + text.size(count) + ";");
  text.line("waitProducers();");
  text.line("if (i < count)");
  text.line("  " + y + "[i] = fromFloat<" + memoryType(storedType(to)) + ">(toFloat(" + x + "[i]));");
  CudaLaunchPlan launch;
  launch.rows = count;
  std::string own = "convert_" + std::string(name(storedType(from))) + "_" + std::string(name(storedType(to)));
  launch.choices.push_back({INT64_MAX, pool.add(own, text, {256}, 0), {count}, {256}});
  launch.buffers = text.buffers;
  add(launch);
}

CudaBuffer ProgramLowering::unpacked(const CudaBuffer &matrix, RankedTensorType type, DType to) {
  int64_t n = type.getDimSize(0), k = type.getDimSize(1);
  CudaBuffer plain = scratch(to, {DimExpr(n), DimExpr(k)});
  auto block = dyn_cast<BlockType>(type.getElementType());
  if (!block) {
    convert(matrix, plain, DimExpr(n * k));
    return plain;
  }
  KernelText text(pool);
  DimExpr items(emitUnpack(text, matrix, type, to, plain));
  CudaLaunchPlan launch;
  std::string name = ("unpack_" + stringifyBlockFormat(block.getFormat()) + "_" + llvm::Twine(n) + "x" + llvm::Twine(k)).str();
  launch.choices.push_back({INT64_MAX, pool.add(name, text, {256}, 0), {items}, {256}});
  launch.buffers = text.buffers;
  add(launch);
  return plain;
}

} // namespace transom::cuda
