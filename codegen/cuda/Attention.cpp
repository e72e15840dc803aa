// Attention: one new token per row over its cache, or many queries; on tensor cores where numbers are stored in 16 bits.
#include "codegen/cuda/Steps.h"

#include "ir/DimAnalysis.h"

using namespace mlir;

namespace transom::cuda {

namespace {

int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

class AttentionEmitter {
public:
  AttentionEmitter(Step &step, AttentionOp op) : step(step), op(op), text(step.pool) {
    q = step.sizes(op.getQuery()), k = step.sizes(op.getKey());
    packed = op.getLayout() == HeadLayout::thd, headsFirst = op.getLayout() == HeadLayout::bhsd;
    cached = isa<CacheType>(op.getKey().getType());
    heads = size(q[packed ? 1 : headsFirst ? 1 : 2]), headDim = size(q.back());
    kvHeads = size(cached || headsFirst ? k[1] : k[packed ? 1 : 2]);
    type = step.stored(op.getQuery());
    halves = type == DType::f16 || type == DType::bf16;
  }

  FailureOr<CudaLaunchPlan> run() {
    if (heads <= 0 || kvHeads <= 0 || headDim <= 0 || headDim > 256)
      return op.emitOpError("on CUDA takes a static number of heads and head_dim of at most 256, found ") << op.getQuery().getType();
    for (Value value : {op.getKey(), op.getValue(), Value(op.getResult())})
      if (step.stored(value) != type)
        return op.emitOpError("on CUDA takes query, key, value and result stored alike, found ") << name(type) << " and " << name(step.stored(value));
    if (op.getBias() && step.stored(op.getBias()) != DType::f32)
      return op.emitOpError("on CUDA takes a bias stored as f32, found ") << name(step.stored(op.getBias())) << ": compile with --dtype=f32";
    bool single = !packed && size(q[headsFirst ? 2 : 1]) == 1;
    return cached && single && !op.getBias() && !op.getMask() ? decode() : prefill();
  }

private:
  int64_t size(const DimExpr &dim) const { return dim.constant().value_or(-1); }
  std::string number(int64_t value) { return std::to_string(value); }
  std::string pointer(Value value) { return text.pointer(step.buffer(value)); }
  std::string scalar(std::optional<llvm::APFloat> value) { return floatText(value ? value->convertToDouble() : 0.0); }
  void set(const std::string &field, const std::string &value) { text.line("a." + field + " = " + value + ";"); }

  std::string kernelName() const { return step.name + (step.rounding ? "_round_e4m3" : ""); }
  const CudaBuffer &resultBuffer() { return step.rounding ? step.rounding->result : step.buffer(op.getResult()); }
  /// The shape of a kernel as it is, or that rounds its result.
  std::string rounded(const std::string &shape) {
    if (!step.rounding)
      return shape;
    text.include("E4m3.cuh");
    return "RoundedResult<" + shape + ">";
  }
  void setResult() {
    std::string result = text.pointer(resultBuffer(), true);
    set("result", result);
    if (!step.rounding)
      return;
    DimExpr rows = packed ? q[0] : q[0] * q[1];
    set("resultScale", text.pointer(step.rounding->scale));
    set("resultScales", "scalesOf(" + result + ", " + text.size(rows) + ", " + number(heads * headDim) + ")");
  }

  /// Blocks behind the live rows of the batch have nothing to do.
  void guard(const DimExpr &batch) {
    text.open("if (blockIdx.z >= " + text.size(batch) + ")");
    text.line("waitProducers();");
    text.line("return;");
    text.close();
  }

  FailureOr<CudaLaunchPlan> decode() {
    DimExpr batch = q[0];
    int64_t group = heads / kvHeads, tileRows = halves ? 16 : 4, groupTiles = ceilDiv(group, tileRows), rows = std::min(group, tileRows);
    bool mma = halves && headDim % 8 == 0;
    if (!mma)
      tileRows = 4, groupTiles = ceilDiv(group, 4), rows = std::min<int64_t>(group, 4);
    // Blocks enough to fill a GPU with one sequence.
    int64_t splits = 1;
    while (splits < 32 && splits * kvHeads * groupTiles < 128)
      splits *= 2;
    int64_t warps = mma ? (headDim <= 64 ? 8 : 4) : 4, shareDim = mma ? headDim : ceilDiv(headDim, 8) * 8;
    int64_t shareFloats = rows * shareDim + ceilDiv(rows, 2) * 4, shares = warps;
    if (!mma) {
      int64_t pieces = shareDim / 8, lanes = pieces > 16 ? 32 : pieces > 8 ? 16 : pieces > 4 ? 8 : pieces > 2 ? 4 : pieces;
      shares = warps * (32 / lanes);
    } else if (shares * shareFloats * 4 > 56 * 1024) { // 16 rows of 256 numbers: too much for compute capability 7.5
      shares = warps = 2;
    }
    int64_t sharedBytes = (shares * shareFloats + 2 * (std::max(shares, splits) + 1) * rows) * 4;
    std::string shape = std::string(mma ? "DecodeAttentionShape<" : "DecodeAttentionFmaShape<") + memoryType(type) + ", " + number(heads) + ", " +
                        number(kvHeads) + ", " + number(headDim) + ", " + number(warps) + ", " + number(splits) + ", 256>";
    text.include(mma ? "AttentionDecode.cuh" : "AttentionFma.cuh");
    text.launchBounds = number(warps * 32);
    text.line("using Shape = " + shape + ";");
    text.line("static_assert(Shape::sharedBytes == " + number(sharedBytes) + " && Shape::shareFloats == " + number(shareFloats) +
              " && Shape::groupTiles == " + number(groupTiles) + ", \"\");");
    guard(batch);
    text.line("DecodeAttentionArguments a = {};");
    set("query", pointer(op.getQuery())), set("keys", pointer(op.getKey())), set("values", pointer(op.getValue()));
    set("result", text.pointer(step.buffer(op.getResult()), true));
    set("past", pointer(op.getPastLengths())), set("lengths", pointer(op.getLengths()));
    DimExpr places = batch * DimExpr(kvHeads * groupTiles);
    set("partial", text.pointer(step.scratch(DType::f32, {places * DimExpr(splits * shareFloats)}), true));
    set("arrived", text.workspace(step.workspace(DType::i32, {places}), "int"));
    set("capacity", "(int)(" + text.size(k[2]) + ")"), set("window", number(int64_t(op.getWindow().value_or(0))));
    set("scale", floatText(op.getScale().convertToDouble())), set("softcap", scalar(op.getSoftcap()));
    text.line(std::string(mma ? "attendDecode" : "attendDecodeFma") + "<Shape>(a);");
    return finish({{INT64_MAX, step.pool.add(step.name, text, {uint32_t(warps * 32)}, uint32_t(sharedBytes)),
                    {DimExpr(splits), DimExpr(kvHeads * groupTiles), batch}}});
  }

  FailureOr<CudaLaunchPlan> prefill() {
    bool mma = halves && headDim % 16 == 0, causal = op.getCausal();
    std::vector<CudaChoicePlan> choices;
    bool suitsHopper = mma && (headDim == 64 || headDim == 128 || neighbours()) && !op.getMask() && !op.getBias() && !op.getSoftcap();
    // Padded tokens come with a mask, which only the other kernel takes, packed ones without: both get the same bits from that one.
    bool padded = step.forfeits && !cached;
    if (suitsHopper && !padded)
      choices.push_back(hopper(causal));
    if (suitsHopper && padded)
      ++step.forfeits->attention;
    KernelText start = text; // the parameters are those of all choices
    CudaChoicePlan choice = plain(mma, headDim <= 128 ? 64 : 32, 0);
    if (step.pool.sharedBytes(choice.kernel) > sharedOf75) {
      std::swap(text, start);
      choices.push_back(plain(mma, headDim <= 128 ? 32 : 16, 75));
      std::swap(text, start);
    }
    choices.push_back(std::move(choice));
    return finish(std::move(choices));
  }

  /// The kernel for any device, or those of capability `sm` if that is not 0, with tiles of so many keys.
  CudaChoicePlan plain(bool mma, int64_t keysAtOnce, uint32_t sm) {
    int64_t queriesAtOnce = mma ? 64 : keysAtOnce, stride = ceilDiv(headDim, 8) * 8 + 4;
    uint32_t threads = mma ? 128 : 256;
    int64_t sharedBytes = mma ? 4 * keysAtOnce * (headDim * 2 + 16) : (2 * keysAtOnce * stride + keysAtOnce * (keysAtOnce + 4)) * 4;
    std::string shape = std::string(mma ? "MmaAttentionShape<" : "FmaAttentionShape<") + memoryType(type) + ", " + number(headDim) + ", " +
                        (mma ? "4" : number(queriesAtOnce)) + ", " + number(keysAtOnce) + ", " + (op.getCausal() ? "true>" : "false>");
    text.include(mma ? "AttentionMma.cuh" : "AttentionFma.cuh");
    text.launchBounds = number(threads);
    text.line("using Shape = " + rounded(shape) + ";");
    text.line("static_assert(Shape::sharedBytes == " + number(sharedBytes) + " && Shape::queriesAtOnce == " + number(queriesAtOnce) + ", \"\");");
    DimExpr batch = batchSize();
    guard(batch);
    text.line("MmaAttentionArguments a = {};");
    arguments();
    text.line(std::string(mma ? "attendMma" : "attendFma") + "<Shape>(a);");
    if (sm == 75)
      text.onlyFor75();
    DimExpr longest = packed ? step.longestOf(op.getCumulativeLengths()) : q[headsFirst ? 2 : 1];
    if (longest.isUnknown())
      longest = q[0];
    std::string own = kernelName() + (sm == 75 ? "_sm75" : "");
    CudaChoicePlan choice{INT64_MAX, step.pool.add(own, text, {threads}, uint32_t(sharedBytes)), {longest, DimExpr(heads), batch}, {uint32_t(queriesAtOnce), 1, 1}};
    choice.sm = sm;
    return choice;
  }

  DimExpr batchSize() { return packed ? step.sizes(op.getCumulativeLengths())[0] - DimExpr(1) : q[0]; }

  /// Whether heads of 32 numbers lie in pairs, as the kernel for compute capability 9.0 takes them.
  bool neighbours() const { return headDim == 32 && heads % 2 == 0 && kvHeads % 2 == 0 && !cached && !headsFirst; }

  /// The kernel for compute capability 9.0, with wgmma and TMA. Both kernels get the same parameters, so the plain one's begin with
  /// those that this one reads.
  CudaChoicePlan hopper(bool causal) {
    const bool small = headDim <= 64;
    const int64_t width = std::max<int64_t>(headDim, 64); // of a row: a head, or two
    int64_t consumers = small ? 3 : 2, keysAtOnce = small || causal ? 128 : 176, stages = small ? 5 : 2;
    bool turns = !small || !packed || cached;
    const int64_t threads = 128 * (consumers + 1), partBytes = 64 * width * 2, listBytes = small ? 4 * (1024 + 32) + 8 * 512 : 4 * (128 + 32) + 8 * 96;
    const int64_t ringBytes = 1024 + 2 * stages * keysAtOnce * width * 2 + 512 + listBytes;
    const int64_t sharedBytes = ringBytes + std::min(3 * consumers, (227 * 1024 - ringBytes) / partBytes) * partBytes;
    std::string shape = "HopperAttentionShape<" + memoryType(type) + ", " + number(headDim) + ", " + number(consumers) + ", " + number(keysAtOnce) + ", " +
                        (causal ? "true, " : "false, ") + (turns ? "true>" : "false>");
    auto map = [&](KernelText &text, Value value, const Dims &sizes, bool headsFirst, bool packed, int64_t rowsAtOnce) {
      CudaMapPlan plan;
      plan.buffer = step.buffer(value);
      DimExpr d = sizes.back(), h = sizes[headsFirst || packed ? 1 : 2], s = sizes[packed ? 0 : headsFirst ? 2 : 1], b = packed ? DimExpr(1) : sizes[0];
      const DimExpr row(width);
      plan.sizes = {row, s, DimExpr(size(h) * headDim / width), b};
      plan.strides = {headsFirst ? d : h * d, headsFirst ? s * d : row, h * s * d};
      plan.box = {64, uint32_t(rowsAtOnce), 1, 1};
      return text.map(std::move(plan));
    };
    KernelText own(step.pool);
    for (KernelText *both : {&own, &text}) {
      map(*both, op.getQuery(), q, headsFirst, packed, 64);
      map(*both, op.getKey(), k, cached || headsFirst, packed && !cached, keysAtOnce);
      map(*both, op.getValue(), k, cached || headsFirst, packed && !cached, keysAtOnce);
      both->workspace(step.workspace(DType::i32, {DimExpr(2)}), "int");
      for (Value value : {Value(op.getQuery()), Value(op.getKey()), Value(op.getValue())})
        both->pointer(step.buffer(value));
      both->pointer(resultBuffer(), true);
      if (step.rounding)
        both->pointer(step.rounding->scale);
      for (Value value : {Value(op.getCumulativeLengths()), Value(op.getKeyCumulativeLengths()), Value(op.getLengths()), Value(op.getPastLengths())})
        if (value)
          both->pointer(step.buffer(value));
    }
    std::swap(text, own);
    text.include("AttentionHopper.cuh");
    text.launchBounds = number(threads) + ", 1";
    text.body += "#ifdef __CUDA_ARCH_FEAT_SM90_ALL\n";
    text.line("using Shape = " + rounded(shape) + ";");
    text.line("static_assert(Shape::sharedBytes == " + number(sharedBytes) + " && Shape::threads == " + number(threads) + ", \"\");");
    text.line("HopperAttentionArguments a = {};");
    text.line("a.queryMap = &m0, a.keyMap = &m1, a.valueMap = &m2;");
    setResult();
    DimExpr d = q.back(), h = q[headsFirst || packed ? 1 : 2], s = q[packed ? 0 : headsFirst ? 2 : 1];
    set("resultBatch", packed ? "0" : text.size(h * s * d));
    set("resultRow", text.size(headsFirst ? d : h * d)), set("resultHead", text.size(headsFirst ? s * d : d));
    if (packed)
      set("cumulativeQueries", pointer(op.getCumulativeLengths()));
    if (packed && !cached)
      set("cumulativeKeys", pointer(op.getKeyCumulativeLengths() ? op.getKeyCumulativeLengths() : op.getCumulativeLengths()));
    if (op.getLengths())
      set("lengths", pointer(op.getLengths()));
    if (op.getPastLengths())
      set("past", pointer(op.getPastLengths()));
    set("batch", "(int)(" + text.size(batchSize()) + ")"), set("heads", number(heads)), set("kvHeads", number(kvHeads));
    set("queries", "(int)(" + text.size(s) + ")"), set("keys", "(int)(" + text.size(k[packed && !cached ? 0 : cached || headsFirst ? 2 : 1]) + ")");
    set("window", number(int64_t(op.getWindow().value_or(0)))), set("next", "workspace"), set("scale", floatText(op.getScale().convertToDouble()));
    text.line("a.pairsAtOnce = pairsThatFit(a, Shape::headDim);");
    text.line("attendHopper<Shape>(a);");
    text.body += "#endif\n";
    // As many blocks as a GPU of this kind has multiprocessors; the tiles are handed out among those there are.
    CudaChoicePlan choice{INT64_MAX, step.pool.add(kernelName() + "_sm90", text, {uint32_t(threads)}, uint32_t(sharedBytes)), {DimExpr(132)}};
    choice.sm = 90;
    std::swap(text, own);
    return choice;
  }

  void arguments() {
    set("queryData", pointer(op.getQuery())), set("keyData", pointer(op.getKey())), set("valueData", pointer(op.getValue()));
    setResult();
    auto strides = [&](const std::string &who, const Dims &sizes, bool headsFirst, bool packed) {
      DimExpr d = sizes.back(), h = sizes[headsFirst || packed ? 1 : 2], s = sizes[packed ? 0 : headsFirst ? 2 : 1];
      set(who + "Batch", packed ? "0" : text.size(h * s * d));
      set(who + "Row", text.size(headsFirst ? d : h * d));
      set(who + "Head", text.size(headsFirst ? s * d : d));
    };
    strides("query", q, headsFirst, packed), strides("result", q, headsFirst, packed);
    strides("key", k, cached || headsFirst, packed && !cached);
    if (packed) {
      set("cumulativeQueries", pointer(op.getCumulativeLengths()));
      if (!cached)
        set("cumulativeKeys", pointer(op.getKeyCumulativeLengths() ? op.getKeyCumulativeLengths() : op.getCumulativeLengths()));
    }
    if (op.getLengths())
      set("lengths", pointer(op.getLengths()));
    if (op.getPastLengths())
      set("past", pointer(op.getPastLengths()));
    if (op.getMask())
      set("mask", pointer(op.getMask()));
    if (op.getBias()) {
      Dims sizes = step.sizes(op.getBias());
      set("bias", pointer(op.getBias()));
      DimExpr stride(1);
      const char *fields[] = {"biasBatch", "biasHead", "biasQuery", "biasKey"};
      for (size_t axis = 4; axis-- > 0;) {
        set(fields[axis], "(" + text.size(sizes[axis]) + ") == 1 ? 0 : " + text.size(stride));
        stride = stride * sizes[axis];
      }
    }
    set("heads", number(heads)), set("kvHeads", number(kvHeads));
    set("queries", "(int)(" + text.size(packed ? q[0] : q[headsFirst ? 2 : 1]) + ")");
    set("keys", "(int)(" + text.size(k[packed && !cached ? 0 : cached || headsFirst ? 2 : 1]) + ")");
    set("window", number(int64_t(op.getWindow().value_or(0))));
    set("scale", floatText(op.getScale().convertToDouble())), set("softcap", scalar(op.getSoftcap()));
  }

  CudaLaunchPlan finish(std::vector<CudaChoicePlan> choices) {
    CudaLaunchPlan launch;
    launch.choices = std::move(choices);
    launch.rows = packed ? q[0] : q[0] * q[headsFirst ? 2 : 1];
    launch.buffers = text.buffers, launch.maps = text.maps;
    launch.workspace = text.work;
    return launch;
  }

  Step &step;
  AttentionOp op;
  KernelText text;
  Dims q, k;
  bool packed, headsFirst, cached, halves;
  int64_t heads, kvHeads, headDim;
  DType type;
};

} // namespace

bool attentionRounds(AttentionOp attention, DType type) {
  const int64_t headDim = dimsOf(attention.getQuery().getType()).back().constant().value_or(-1);
  return (type == DType::f16 || type == DType::bf16) && headDim % 16 == 0 && !isa<CacheType>(attention.getKey().getType());
}

FailureOr<CudaLaunchPlan> emitAttention(Step &step, AttentionOp op) { return AttentionEmitter(step, op).run(); }

} // namespace transom::cuda
