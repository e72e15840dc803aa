// Driver of CUDA code generation: each step of a plan to launches and products, each program to its steps, and of a decoder's
// `decode` the program `step`, which also chooses the tokens.
#include "codegen/cuda/CudaCodegen.h"

#include "codegen/cuda/Gemv.h"
#include "codegen/cuda/Headers.h"
#include "codegen/cuda/Rows.h"
#include "codegen/cuda/Steps.h"
#include "ir/DimAnalysis.h"
#include "ir/GroupKernel.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

namespace transom {

using namespace cuda;

namespace {

CudaBuffer planBuffer(Value value) {
  CudaBuffer buffer;
  buffer.value = value;
  return buffer;
}

/// How a program of the plan becomes one of the artifact.
enum class Variant {
  plain,
  step ///< of `decode`: chooses tokens, and writes its inputs for the next run
};

class ProgramLowering {
public:
  ProgramLowering(plan::ProgramOp program, KernelPool &pool, WeightForms &weights, const CudaOptions &options, Variant variant)
      : program(program), module(program->getParentOfType<ModuleOp>()), pool(pool), weights(weights), options(options), variant(variant) {
    result.plan = program;
    result.name = variant == Variant::step ? "step" : program.getSymName().str();
  }

  FailureOr<CudaProgram> run() {
    if (variant == Variant::step)
      prepareStep();
    for (Operation &op : program.getBody().front()) {
      if (!plan::isStep(&op))
        continue;
      auto source = op.getAttrOfType<StringAttr>("source");
      this->source = source ? source.str() : "";
      scratchAt = kept;
      LogicalResult done = failure();
      if (auto launch = dyn_cast<plan::LaunchOp>(op))
        done = lower(launch);
      else if (auto gemm = dyn_cast<plan::GemmOp>(op))
        done = lower(gemm);
      else
        done = lower(cast<plan::SizeOp>(op));
      if (failed(done))
        return failure();
    }
    if (variant == Variant::step)
      finishStep();
    result.scratchBytes = mostScratch;
    result.workspaceBytes = workspaceBytes + bestBytes;
    // What the largest logits need comes behind what other steps share.
    for (CudaStepPlan &step : result.steps)
      if (auto *launch = std::get_if<CudaLaunchPlan>(&step.kind)) {
        auto place = [&](CudaBuffer &buffer) {
          if (buffer.kind == CudaBuffer::Kind::workspace && buffer.dtype == DType::i64)
            buffer.offset = workspaceBytes;
        };
        llvm::for_each(launch->buffers, place);
        if (launch->workspace)
          place(*launch->workspace);
      }
    return std::move(result);
  }

private:
  //===-- Buffers -------------------------------------------------------------------------------------------------===//

  CudaBuffer bufferOf(Value value) {
    auto moved = overrides.find(plan::storageOf(value).getResult());
    if (moved == overrides.end())
      return weights.read(value);
    CudaBuffer buffer = moved->second;
    buffer.shape = plan::sizesOf(value);
    return buffer;
  }

  Step begin(Operation *op, std::string name) {
    Step step{pool, weights, op, llvm::DenseMap<Value, CudaBuffer>(), std::move(name), [this](Value cumulative) { return longestOf(cumulative); }};
    step.module = module;
    step.scratchAt = scratchAt, step.mostScratch = mostScratch, step.workspaceBytes = workspaceBytes;
    return step;
  }
  void end(const Step &step) {
    scratchAt = step.scratchAt;
    mostScratch = std::max(mostScratch, step.mostScratch);
    workspaceBytes = std::max(workspaceBytes, step.workspaceBytes);
  }
  void add(CudaLaunchPlan launch) { result.steps.push_back({std::move(launch), source}); }
  void add(CudaGemmPlan gemm) { result.steps.push_back({std::move(gemm), source}); }

  CudaBuffer scratch(DType dtype, Dims shape) {
    Step step = begin(program, "");
    CudaBuffer buffer = step.scratch(dtype, std::move(shape));
    end(step);
    return buffer;
  }

  plan::KernelOp kernelOf(Operation *op, FlatSymbolRefAttr name) { return SymbolTable::lookupNearestSymbolFrom<plan::KernelOp>(op, name); }

  //===-- Packed tokens -------------------------------------------------------------------------------------------===//

  /// The launch of valid_tokens that wrote `buffer`, if it was one.
  std::pair<plan::LaunchOp, ValidTokensOp> packingOf(Value buffer) {
    for (auto launch : program.getBody().getOps<plan::LaunchOp>())
      for (Value output : launch.getOutputs())
        if (plan::storageOf(output) == plan::storageOf(buffer))
          if (auto tokens = dyn_cast<ValidTokensOp>(kernelOf(launch, launch.getKernelAttr()).getOp()))
            return {launch, tokens};
    return {};
  }

  /// Places of the padded rows whose tokens `cumulative` counts; `cumulative` is an operand of the op at work.
  DimExpr longestOf(Value cumulative) {
    auto found = operands.find(cumulative);
    if (found == operands.end())
      return DimExpr();
    auto [launch, tokens] = packingOf(found->second);
    return tokens ? plan::sizesOf(launch.getInputs()[0])[1] : DimExpr();
  }

  LogicalResult lower(plan::SizeOp size) {
    auto [launch, tokens] = packingOf(size.getSource());
    CudaSizePlan plan;
    plan.name = size.getName().str(), plan.buffer = size.getSource();
    Value counted;
    if (tokens) {
      counted = launch.getInputs()[tokens.getLengths() ? 1 : 0];
      plan.from = tokens.getLengths() ? artifact::SizeSource::sum : artifact::SizeSource::nonzero;
      plan.limit = tokens.getLengths() ? plan::sizesOf(launch.getInputs()[0])[1] : DimExpr(0);
    }
    if (!counted || plan::storageOf(counted).getKind() != plan::BufferKind::input)
      return size.emitError("the size ") << size.getName() << " is no sum or count of numbers of an input, so it cannot be known before a GPU runs";
    plan.input = plan::storageOf(counted).getName()->str();
    result.steps.push_back({plan, source});
    return success();
  }

  //===-- Launches ------------------------------------------------------------------------------------------------===//

  LogicalResult lower(plan::LaunchOp launch) {
    plan::KernelOp kernel = kernelOf(launch, launch.getKernelAttr());
    operands.clear();
    for (auto [argument, buffer] : llvm::zip(kernel.getBody().getArguments(), launch.getInputs()))
      operands[argument] = buffer;
    Operation *op = kernel.getOp();
    if (auto group = dyn_cast<GroupOp>(op))
      return lowerGroup(group, kernel.getSymName(), launch.getInputs(), launch.getOutputs());
    if (auto matmul = dyn_cast<MatmulOp>(op); matmul && isFewRows(matmul, launch.getInputs()))
      return lowerGemv(matmul, kernel.getSymName(), launch.getInputs(), launch.getOutputs());
    Step step = begin(op, kernel.getSymName().str());
    for (auto [operand, buffer] : llvm::zip(op->getOperands(), launch.getInputs()))
      step.memory[operand] = bufferOf(buffer);
    for (auto [value, buffer] : llvm::zip(op->getResults(), launch.getOutputs()))
      step.memory[value] = bufferOf(buffer);
    FailureOr<CudaLaunchPlan> plan = emitOp(step);
    end(step);
    if (failed(plan))
      return failure();
    add(*plan);
    return success();
  }

  DimExpr rowsOf(Value lhs) { return product(ArrayRef(plan::sizesOf(lhs)).drop_back()); }
  int64_t most(const DimExpr &size) { return maximumOf(module, size).value_or(INT64_MAX); }

  bool isFewRows(MatmulOp matmul, ValueRange inputs) {
    return plan::isGemv(matmul) && plan::storageOf(inputs[1]).getKind() == plan::BufferKind::weight && most(rowsOf(inputs[0])) <= maxGemvRows;
  }

  /// The row-wise ops `ops` of a group, with what they read and make.
  RowProgram rowProgram(const plan::GroupKernel &kernel, ArrayRef<Operation *> ops, ValueRange results, const std::vector<CudaBuffer> &outputs,
                        GroupOp group, ValueRange inputs) {
    RowProgram rows;
    rows.ops.assign(ops.begin(), ops.end());
    rows.leading = kernel.form.leading;
    rows.results.assign(results.begin(), results.end());
    rows.outputs = outputs;
    for (auto [argument, buffer] : llvm::zip(group.getBody().getArguments(), inputs))
      rows.memory[argument] = bufferOf(buffer);
    rows.rows = kernel.rowsOf([&](unsigned index) { return plan::sizesOf(inputs[index]); });
    return rows;
  }

  LogicalResult lowerGroup(GroupOp group, StringRef name, ValueRange inputs, ValueRange outputs) {
    std::string reason;
    FailureOr<plan::GroupKernel> kernel = plan::GroupKernel::of(group, reason);
    assert(succeeded(kernel) && "the plan was verified");
    for (auto [argument, buffer] : llvm::zip(group.getBody().getArguments(), inputs))
      operands[argument] = buffer;
    std::vector<CudaBuffer> results;
    for (Value output : outputs)
      results.push_back(bufferOf(output));
    ValueRange yielded = group.getBody().front().getTerminator()->getOperands();
    if (!kernel->form.root) {
      FailureOr<CudaLaunchPlan> plan = emitRows(pool, rowProgram(*kernel, kernel->form.epilogue, yielded, results, group, inputs), name);
      if (failed(plan))
        return failure();
      add(*plan);
      return success();
    }
    GemvProgram gemv;
    gemv.root = kernel->form.root;
    if (failed(prologue(*kernel, gemv, group, name, inputs)))
      return failure();
    gemv.weight = matrixOf(inputs[cast<BlockArgument>(gemv.root.getRhs()).getArgNumber()], storedType(gemv.lhs));
    gemv.epilogue = rowProgram(*kernel, kernel->form.epilogue, yielded, results, group, inputs);
    gemv.mostRows = std::min(most(gemv.epilogue.rows), maxGemvRows);
    addBest(gemv, outputs);
    return addGemv(gemv, name);
  }

  /// What comes before the product: its lhs in memory, one norm, or kernels of their own.
  LogicalResult prologue(const plan::GroupKernel &kernel, GemvProgram &gemv, GroupOp group, StringRef name, ValueRange inputs) {
    Value lhs = reshapedFrom(gemv.root.getLhs());
    auto buffer = [&](Value value) { return bufferOf(inputs[cast<BlockArgument>(value).getArgNumber()]); };
    if (isa<BlockArgument>(lhs)) {
      gemv.lhs = buffer(lhs);
      return success();
    }
    Operation *norm = lhs.getDefiningOp();
    Value input = reshapedFrom(norm->getOperand(0));
    bool isNorm = isa<RmsNormOp, LayerNormOp>(norm) && isa<BlockArgument>(input) &&
                  llvm::all_of(norm->getOperands().drop_front(), [](Value value) { return isa<BlockArgument>(value); });
    if (isNorm && norm->getNumOperands() > 2)
      isNorm = storedType(buffer(norm->getOperand(1))) == storedType(buffer(norm->getOperand(2)));
    if (isNorm) {
      gemv.norm = norm;
      gemv.lhs = buffer(input), gemv.normScale = buffer(norm->getOperand(1));
      if (norm->getNumOperands() > 2)
        gemv.normBias = buffer(norm->getOperand(2));
      return success();
    }
    DimExpr rows = kernel.rowsOf([&](unsigned index) { return plan::sizesOf(inputs[index]); });
    gemv.lhs = scratch(activations(), {rows, DimExpr(kernel.rowElements(lhs))});
    FailureOr<CudaLaunchPlan> before = emitRows(pool, rowProgram(kernel, kernel.form.prologue, lhs, {gemv.lhs}, group, inputs), (name + "_prologue").str());
    if (failed(before))
      return failure();
    add(*before);
    return success();
  }

  /// The type in which the program keeps numbers.
  DType activations() {
    for (auto buffer : program.getBody().getOps<plan::BufferOp>())
      if (buffer.getStored())
        return storedType(*buffer.getStored());
    return DType::f32;
  }

  /// The matrix of a product: in the type of lhs where that has 16 bits, as the file has it where lhs is f32.
  CudaBuffer matrixOf(Value weight, DType lhs) { return lhs == DType::f32 ? weights.read(weight) : weights.matrix(weight, lhs); }

  LogicalResult lowerGemv(MatmulOp matmul, StringRef name, ValueRange inputs, ValueRange outputs) {
    GemvProgram gemv;
    gemv.root = matmul;
    gemv.lhs = bufferOf(inputs[0]);
    gemv.weight = matrixOf(inputs[1], storedType(gemv.lhs));
    gemv.epilogue.results.push_back(matmul.getResult());
    gemv.epilogue.outputs.push_back(bufferOf(outputs[0]));
    gemv.epilogue.leading[matmul.getResult()] = unsigned(matmul.getType().getRank() - 1);
    gemv.epilogue.rows = rowsOf(inputs[0]);
    gemv.mostRows = most(gemv.epilogue.rows);
    addBest(gemv, outputs);
    return addGemv(gemv, name);
  }

  void addBest(GemvProgram &gemv, ValueRange outputs) {
    if (variant == Variant::step && outputs.size() == 1 && plan::storageOf(outputs[0]) == logits)
      gemv.best = best();
  }

  /// Up to so many rows the kernel of its own reads a 16-bit matrix faster than the library. Llama-3.2-1B on an H200, ms a step: of 2
  /// rows 0.80 against 1.07, of 4 0.89 and 1.08, of 8 1.69 and 1.10, of 16 1.89 and 1.17.
  static constexpr int64_t mostOwnRows = 4;

  LogicalResult addGemv(GemvProgram &gemv, StringRef name) {
    bool wide = gemv.mostRows > mostOwnRows && !gemv.best && storedType(gemv.lhs) != DType::f32 && storedType(gemv.weight) == storedType(gemv.lhs);
    GemvProgram all = gemv;
    if (wide)
      gemv.mostRows = mostOwnRows;
    FailureOr<std::optional<CudaLaunchPlan>> plan = emitGemv(pool, gemv, name);
    if (failed(plan))
      return failure();
    if (*plan && wide) {
      (*plan)->most = mostOwnRows;
      add(**plan);
      return addWide(all, name);
    }
    if (!*plan)
      gemv.mostRows = all.mostRows;
    if (*plan) {
      add(**plan);
      hasBest |= gemv.best.has_value();
      return success();
    }
    // The product first, then what follows it, row by row.
    Value product = gemv.root.getResult();
    RowProgram behind = gemv.epilogue;
    int64_t columns = dimsOf(product.getType()).back().constant().value_or(0);
    behind.memory[product] = scratch(DType::f32, {behind.rows, DimExpr(columns)});
    gemv.epilogue.ops.clear(), gemv.epilogue.memory.clear();
    gemv.epilogue.results = {product};
    gemv.epilogue.outputs = {behind.memory[product]};
    gemv.best.reset();
    plan = emitGemv(pool, gemv, (name + "_product").str());
    if (failed(plan))
      return failure();
    assert(*plan && "a product alone needs no partner");
    add(**plan);
    FailureOr<CudaLaunchPlan> rows = emitRows(pool, behind, (name + "_rows").str());
    if (failed(rows))
      return failure();
    add(*rows);
    return success();
  }

  /// The same by the library, for more rows: the norm, the product, and what follows it.
  LogicalResult addWide(GemvProgram &gemv, StringRef name) {
    DimExpr rows = gemv.epilogue.rows;
    Value product = gemv.root.getResult();
    auto type = cast<RankedTensorType>(gemv.root.getRhs().getType());
    CudaGemmPlan plan;
    plan.m = rows, plan.n = DimExpr(type.getDimSize(0)), plan.k = DimExpr(type.getDimSize(1)), plan.least = mostOwnRows + 1;
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
      if (failed(addRows(before, (name + "_norm").str())))
        return failure();
    }
    if (gemv.epilogue.ops.empty()) {
      plan.out = gemv.epilogue.outputs.front();
      add(plan);
      return success();
    }
    plan.out = scratch(storedType(gemv.lhs), {rows, plan.n});
    add(plan);
    RowProgram behind = gemv.epilogue;
    behind.memory[product] = plan.out;
    return addRows(behind, (name + "_wide").str());
  }
  LogicalResult addRows(const RowProgram &program, const std::string &name) {
    FailureOr<CudaLaunchPlan> launch = emitRows(pool, program, name);
    if (failed(launch))
      return failure();
    launch->least = mostOwnRows + 1;
    add(*launch);
    return success();
  }

  //===-- Products of many rows -----------------------------------------------------------------------------------===//

  LogicalResult lower(plan::GemmOp gemm) {
    CudaGemmPlan plan;
    plan.m = *DimExpr::parse(gemm.getM()), plan.n = *DimExpr::parse(gemm.getN()), plan.k = *DimExpr::parse(gemm.getK());
    plan.lhs = bufferOf(gemm.getLhs()), plan.out = bufferOf(gemm.getOut());
    if (storedType(plan.lhs) == DType::f32 && storedType(plan.out) != DType::f32) {
      CudaBuffer narrow = scratch(storedType(plan.out), {plan.m, plan.k});
      convert(plan.lhs, narrow, plan.m * plan.k);
      plan.lhs = narrow;
    }
    DType type = storedType(plan.lhs);
    plan.tf32 = options.tf32 && type == DType::f32;
    plan.rhs = matrixOf(gemm.getRhs(), type);
    auto matrix = cast<RankedTensorType>(plan::tensorOf(gemm.getRhs()));
    if (storedType(plan.rhs) != type)
      plan.rhs = unpacked(plan.rhs, matrix, type);
    add(plan);
    if (!gemm.getEpilogue())
      return success();
    plan::KernelOp kernel = kernelOf(gemm, gemm.getEpilogueAttr());
    SmallVector<Value> inputs = {gemm.getOut()};
    llvm::append_range(inputs, gemm.getExtras());
    operands.clear();
    return lowerGroup(cast<GroupOp>(kernel.getOp()), kernel.getSymName(), inputs, gemm.getResults());
  }

  void convert(const CudaBuffer &from, const CudaBuffer &to, DimExpr count) {
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
    launch.choices.push_back({INT64_MAX, pool.add("convert_" + std::string(name(storedType(from))) + "_" + std::string(name(storedType(to))), text, {256}, 0), {count}, {256}});
    launch.buffers = text.buffers;
    add(launch);
  }

  /// The matrix decoded to `type`, in memory of this step.
  CudaBuffer unpacked(const CudaBuffer &matrix, RankedTensorType type, DType to) {
    int64_t n = type.getDimSize(0), k = type.getDimSize(1);
    CudaBuffer plain = scratch(to, {DimExpr(n), DimExpr(k)});
    auto block = dyn_cast<BlockType>(type.getElementType());
    if (!block) {
      convert(matrix, plain, DimExpr(n * k));
      return plain;
    }
    KernelText text(pool);
    text.include("Planes.cuh");
    std::string format = formatText(type, to), view = viewText(text, matrix, type, format), y = text.pointer(plain, true);
    text.line("unpackPlanes<" + format + ", " + memoryType(to) + ", 256>(" + view + ", " + y + ", " + std::to_string(n) + ");");
    int64_t at = block.getFormat() == BlockFormat::q8_0 ? 64 : 128;
    CudaLaunchPlan launch;
    DimExpr items(n * ((k + at - 1) / at) * 4);
    std::string name = ("unpack_" + stringifyBlockFormat(block.getFormat()) + "_" + llvm::Twine(n) + "x" + llvm::Twine(k)).str();
    launch.choices.push_back({INT64_MAX, pool.add(name, text, {256}, 0), {items}, {256}});
    launch.buffers = text.buffers;
    add(launch);
    return plain;
  }

  //===-- The program `step` --------------------------------------------------------------------------------------===//

  plan::BufferOp named(plan::BufferKind kind, StringRef name) {
    for (auto buffer : program.getBody().getOps<plan::BufferOp>())
      if (buffer.getKind() == kind && buffer.getName() == name)
        return buffer;
    return {};
  }

  void prepareStep() {
    logits = named(plan::BufferKind::output, "logits");
    Dims shape = plan::sizesOf(logits);
    overrides[logits.getResult()] = scratch(DType::f32, shape);
    kept = scratchAt; // until the token is chosen
    DimExpr batch = shape[0];
    for (auto [name, dtype] : {std::pair("temperature", DType::f32), std::pair("top_p", DType::f32), std::pair("top_k", DType::i32),
                               std::pair("seed", DType::i64), std::pair("row", DType::i64), std::pair("token_index", DType::i64)})
      result.inputs.push_back({name, dtype, {batch}});
    result.outputs.push_back({"tokens", DType::i32, {batch}});
    result.keepsOutputs = false;
  }

  CudaBuffer best() {
    CudaBuffer buffer;
    buffer.kind = CudaBuffer::Kind::workspace;
    buffer.dtype = DType::i64, buffer.shape = {plan::sizesOf(logits)[0]};
    buffer.bytes = most(buffer.shape[0]) * 8;
    bestBytes = plan::aligned(buffer.bytes);
    return buffer;
  }

  CudaBuffer extra(StringRef name, bool output = false) {
    auto &table = output ? result.outputs : result.inputs;
    auto found = llvm::find_if(table, [&](const CudaValue &value) { return value.name == name; });
    CudaBuffer buffer;
    buffer.kind = output ? CudaBuffer::Kind::output : CudaBuffer::Kind::input;
    buffer.index = size_t(found - table.begin()), buffer.dtype = found->dtype, buffer.shape = found->shape;
    return buffer;
  }

  void finishStep() {
    source = "choose";
    Dims shape = plan::sizesOf(logits);
    auto input = [&](StringRef name) { return planBuffer(named(plan::BufferKind::input, name)); };
    KernelText sample(pool);
    sample.include("Sample.cuh");
    sample.preamble = "#if __CUDA_ARCH__ >= 900\n#define CLUSTER __cluster_dims__(8, 1, 1)\nconstexpr int cluster = 8;\n#else\n"
                      "#define CLUSTER\nconstexpr int cluster = 1;\n#endif\n";
    sample.attributes = "CLUSTER ", sample.launchBounds = "1024";
    sample.open("if (blockIdx.x >= cluster || blockIdx.y >= " + sample.size(shape[0]) + ")");
    sample.line("waitProducers();");
    sample.line("return;");
    sample.close();
    sample.line("SampleArguments a = {};");
    auto set = [&](const std::string &field, const std::string &value) { sample.line("a." + field + " = " + value + ";"); };
    set("logits", sample.pointer(overrides[logits.getResult()]));
    for (auto [field, name] : {std::pair("temperature", "temperature"), std::pair("topP", "top_p"), std::pair("topK", "top_k"), std::pair("seed", "seed"),
                               std::pair("row", "row"), std::pair("tokenIndex", "token_index")})
      set(field, sample.pointer(extra(name)));
    set("lengths", sample.pointer(input("lengths")));
    set("token", sample.pointer(extra("tokens", true), true));
    set("vocab", "(int)(" + sample.size(shape[1]) + ")");
    if (hasBest)
      set("best", sample.workspace(best(), "uint64"));
    sample.line("sampleRows<cluster>(a);");
    CudaLaunchPlan choose;
    choose.rows = shape[0];
    choose.choices.push_back({INT64_MAX, pool.add("sample", sample, {1024}, 0), {DimExpr(8), shape[0]}});
    choose.buffers = sample.buffers, choose.workspace = sample.work;
    add(choose);

    source = "advance";
    KernelText advance(pool);
    advance.include("Rows.cuh");
    advance.line("StepState s = {};");
    auto put = [&](const std::string &field, const std::string &value) { advance.line("s." + field + " = " + value + ";"); };
    put("sampled", advance.pointer(extra("tokens", true), true));
    put("tokens", advance.pointer(extra("tokens", true), true));
    put("lengths", advance.pointer(input("lengths")));
    put("inputIds", advance.pointer(input("input_ids"), true));
    put("past", advance.pointer(input("past_lengths"), true));
    put("tokenIndex", advance.pointer(extra("token_index"), true));
    put("batch", "(int)(" + advance.size(shape[0]) + ")");
    if (hasBest)
      put("best", advance.workspace(best(), "uint64"));
    advance.launchBounds = "128";
    advance.line("advanceStep(s);");
    CudaLaunchPlan end;
    end.rows = shape[0];
    end.choices.push_back({INT64_MAX, pool.add("advance", advance, {128}, 0), {shape[0]}, {128}});
    end.buffers = advance.buffers, end.workspace = advance.work;
    add(end);
  }

  plan::ProgramOp program;
  ModuleOp module;
  KernelPool &pool;
  WeightForms &weights;
  const CudaOptions &options;
  Variant variant;
  CudaProgram result;
  std::string source;
  llvm::DenseMap<Value, CudaBuffer> overrides;
  llvm::DenseMap<Value, Value> operands; ///< of the op at work: plan buffers
  plan::BufferOp logits;
  bool hasBest = false;
  int64_t kept = 0, scratchAt = 0, mostScratch = 0, workspaceBytes = 0, bestBytes = 0;
};

/// Whether `step` can be made of the program: what docs/artifact.md says `decode` has.
bool isDecode(plan::ProgramOp program) {
  if (program.getSymName() != "decode")
    return false;
  bool ids = false, lengths = false, past = false, logits = false;
  for (auto buffer : program.getBody().getOps<plan::BufferOp>()) {
    StringRef name = buffer.getName().value_or("");
    bool input = buffer.getKind() == plan::BufferKind::input;
    ids |= input && name == "input_ids", lengths |= input && name == "lengths", past |= input && name == "past_lengths";
    auto type = dyn_cast<RankedTensorType>(buffer.getTensor());
    logits |= buffer.getKind() == plan::BufferKind::output && name == "logits" && type && type.getRank() == 2 && type.getElementType().isF32() &&
              !type.isDynamicDim(1) && type.getDimSize(1) < int64_t(1) << 19;
  }
  return ids && lengths && past && logits;
}

} // namespace

FailureOr<CudaCode> generateCuda(ModuleOp plan, const CudaOptions &options) {
  plan.getContext()->loadDialect<arith::ArithDialect, math::MathDialect>();
  CudaCode code;
  KernelPool pool(plan);
  WeightForms weights(code.weights);
  for (auto program : plan.getOps<plan::ProgramOp>())
    for (Variant variant : {Variant::plain, Variant::step}) {
      if (variant == Variant::step && !isDecode(program))
        continue;
      FailureOr<CudaProgram> lowered = ProgramLowering(program, pool, weights, options, variant).run();
      if (failed(lowered))
        return failure();
      code.programs.push_back(std::move(*lowered));
    }
  code.headers = headersFor(pool.headers());
  code.kernels = pool.take();
  return code;
}

FailureOr<std::string> printCuda(ModuleOp plan, const CudaOptions &options) {
  FailureOr<CudaCode> code = generateCuda(plan, options);
  if (failed(code))
    return failure();
  std::string text;
  for (const artifact::CudaKernel &kernel : code->kernels)
    text += llvm::formatv("// {0} block {1} shared {2}\n{3}\n", kernel.name, kernel.block[0], kernel.sharedBytes, kernel.source).str();
  for (const CudaProgram &program : code->programs) {
    text += llvm::formatv("// program {0} scratch {1} workspace {2}\n", program.name, program.scratchBytes, program.workspaceBytes).str();
    for (const CudaStepPlan &step : program.steps) {
      if (auto *launch = std::get_if<CudaLaunchPlan>(&step.kind)) {
        text += "// launch";
        for (const CudaChoicePlan &choice : launch->choices) {
          text += " " + code->kernels[choice.kernel].name + "<";
          for (size_t axis = 0; axis < choice.grid.size(); ++axis)
            text += (axis ? ", " : "") + choice.grid[axis].str() + (choice.per.empty() || choice.per[axis] == 1 ? "" : " / " + std::to_string(choice.per[axis]));
          text += ">";
        }
        text += " rows " + launch->rows.str();
      } else if (auto *gemm = std::get_if<CudaGemmPlan>(&step.kind)) {
        text += "// product m " + gemm->m.str() + " n " + gemm->n.str() + " k " + gemm->k.str() + " of " + std::string(name(storedType(gemm->lhs)));
      } else {
        text += "// size " + std::get<CudaSizePlan>(step.kind).name + " of input " + std::get<CudaSizePlan>(step.kind).input;
      }
      text += " (" + step.source + ")\n";
    }
  }
  return text;
}

} // namespace transom
