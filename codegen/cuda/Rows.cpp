// See Rows.h.
//
// 1. Rotary angles of the row go to shared memory.
// 2. Each norm: its input, piece by piece into registers, then the statistics over the block. Results that are such an input are
//    written on the way.
// 3. Each other result, piece by piece. Where a result lies over an operand that other threads read, all results wait in registers
//    until every thread has read.
//
// Where rows are many and a thread has one piece of each, a block takes several at once: weights are read once, and more is under way. Each row is
// summed as in a block of its own, to the same bits.
#include "codegen/cuda/Rows.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom::cuda {

namespace {

constexpr int64_t fewRows = 64;    ///< fewer than there are multiprocessors
constexpr int64_t manyRows = 2048; ///< about as many blocks as run at once
constexpr int together = 4;        ///< rows of a block where they are many

class RowKernel : public RowExpressions {
public:
  /// early: weights are read before the kernel that makes the rows is waited for. rows: of a block; from two on, a thread has one piece of each.
  RowKernel(KernelText &text, const RowProgram &program, int lanes, int threads, int rows, bool early)
      : RowExpressions(text, program, lanes), threads(threads), warps(threads / 32), rows(rows), early(early) {}

  LogicalResult run() {
    text.include("Lanes.cuh");
    text.include("Rows.cuh");
    text.line("launchDependents();");
    text.line("const int64 rows = " + text.size(program.rows) + ";");
    // From the last one on, which was written last and is still in L2.
    if (single())
      text.line("const int64 row = rows - 1 - blockIdx.x;");
    else
      text.line("const int64 last = rows - 1 - (int64)blockIdx.x * " + std::to_string(rows) + ";");
    const size_t wait = text.body.size();
    text.line("waitProducers();");
    text.open(single() ? "if (row < 0)" : "if (last < 0)");
    text.line("return;");
    text.close();
    anglesToShared();
    waits = overwritesWhatOthersRead();
    for (Operation *op : program.ops)
      if (isa<RmsNormOp, LayerNormOp>(op))
        norm(op);
    for (size_t i = 0; i < program.results.size(); ++i)
      if (!written.contains(i))
        result(i);
    if (waits)
      storeHeld();
    text.body.insert(wait, constants);
    return success(ok);
  }

private:
  std::string row() const override { return "row"; }
  std::string load(const std::string &pointer, DType dtype, const std::string &index, bool same) override {
    // Of a weight by the thread's own columns: where that takes few registers, read before anything is waited for.
    if (!early || same || index != piece.text || piece.piece.empty() || pieces > 2 || !isConstant(text.buffers[std::stoul(pointer.substr(1))]))
      return loadLanesText(text, lanes, pointer, dtype, index, same);
    std::string &array = constantArrays[pointer + " " + std::to_string(pieceWidth)];
    std::string type = memoryType(dtype), each = std::to_string(lanes), name = text.fresh("x");
    if (array.empty()) {
      array = text.fresh("w");
      std::string column = each + " * ((int)threadIdx.x + p * " + std::to_string(threads) + ")";
      constants += "  Stored<" + each + ", " + type + "> " + array + "[" + std::to_string(pieces) + "];\n";
      constants += "  UNROLL\n  for (int p = 0; p < " + std::to_string(pieces) + "; ++p)\n    if (" + column + " < " + std::to_string(pieceWidth) + ")\n";
      constants += "      " + array + "[p] = storedAt<" + each + ">(" + pointer + " + " + column + ");\n";
    }
    text.line("const Lanes<" + each + "> " + name + " = lanesOf<" + type + ">(" + array + "[" + (single() ? piece.piece : "0") + "]);");
    return name;
  }
  std::string loadInteger(const std::string &pointer, DType, const std::string &index) override { return "(int)" + pointer + "[" + index + "]"; }
  std::string angle(RotaryOp op, const std::string &pair) override { return angles.lookup(op) + "[" + pair + "]"; }

  std::string special(Value value, const Column &column) override {
    if (auto held = arrays.find(value); held != arrays.end() && !column.piece.empty())
      return held->second + "[" + column.piece + "]";
    auto statistics = norms.find(value.getDefiningOp());
    if (statistics == norms.end())
      return "";
    Operation *op = value.getDefiningOp();
    if (column.piece.empty())
      return fail(op, "is read by an op that looks at other columns of the row, which has no CUDA form");
    SmallVector<int64_t> shape = program.rowShape(value);
    std::string input = at(op->getOperand(0), column), scale = ofWhole(op->getOperand(1), column);
    std::string bias = op->getNumOperands() > 2 ? ofWhole(op->getOperand(2), column) : "";
    auto [mean, factor] = statistics->second;
    return eachLane([&](const std::string &e) {
      std::string number = mean.empty() ? name(input, e) : "(" + name(input, e) + " - " + ofRow(mean) + ")";
      return number + " * " + ofRow(factor) + " * " + name(scale, e) + (bias.empty() ? "" : " + " + name(bias, e));
    });
  }
  std::string ofWhole(Value value, const Column &column) {
    const CudaBuffer &buffer = program.memory.find(value)->second;
    return load(text.pointer(buffer), storedType(buffer), column.text, false);
  }

  void anglesToShared() {
    bool any = false;
    for (Operation *op : program.ops) {
      auto rotary = dyn_cast<RotaryOp>(op);
      if (!rotary)
        continue;
      // Queries and keys turn alike: one table for both.
      for (auto &[other, table] : angles)
        if (other->getAttrDictionary() == op->getAttrDictionary() && llvm::equal(other->getOperands().drop_front(), op->getOperands().drop_front()))
          if (std::string known = table; angles.try_emplace(op, known).second)
            break;
      if (angles.contains(op))
        continue;
      any = true;
      std::string table = text.fresh("angles"), pairs = std::to_string(int64_t(rotary.getDims()) / 2);
      std::string positions = text.pointer(program.memory.find(rotary.getPositions())->second), constants = turns(rotary);
      std::string factor = rotary.getFactors() ? " / " + text.pointer(program.memory.find(rotary.getFactors())->second) + "[i]" : "";
      text.line("__shared__ SinCos " + table + "[" + pairs + "];");
      text.line("for (int i = threadIdx.x; i < " + pairs + "; i += " + std::to_string(threads) + ")");
      text.line("  " + table + "[i] = rotaryAngle(" + positions + "[row], " + constants + "[i]" + factor + ");");
      angles[op] = table;
    }
    if (any)
      text.line("__syncthreads();");
  }

  /// Whether a result shares bytes with an operand of which another thread may still have to read.
  bool overwritesWhatOthersRead() {
    bool plain = llvm::none_of(program.ops, [](Operation *op) { return isa<RmsNormOp, LayerNormOp, RotaryOp>(op); });
    if (plain)
      return false;
    for (const CudaBuffer &output : program.outputs)
      for (auto &[value, input] : program.memory) {
        if (output.kind != CudaBuffer::Kind::plan || input.kind != CudaBuffer::Kind::plan || isa<CacheType>(value.getType()))
          continue;
        plan::BufferOp a = plan::storageOf(output.value), b = plan::storageOf(input.value);
        if (a == b && a.getKind() != plan::BufferKind::weight)
          return true;
        if (a.getKind() == plan::BufferKind::arena && b.getKind() == plan::BufferKind::arena && a != b &&
            *a.getOffset() < *b.getOffset() + b.getBytes() && *b.getOffset() < *a.getOffset() + a.getBytes())
          return true;
      }
    return false;
  }

  bool single() const { return rows == 1; }
  /// A number of the row at hand: one for each row of the block.
  std::string ofRow(const std::string &number) const { return single() ? number : number + "[r]"; }
  std::string zeros(const std::string &number) const { return "float " + number + (single() ? " = 0.0f;" : "[" + std::to_string(rows) + "] = {};"); }
  /// `own` of each row becomes its sum or its maximum over the block; single rows have it as an expression.
  std::string overBlock(const std::string &one, const std::string &several, const std::string &own) {
    needScratch();
    if (single())
      return one + "<" + std::to_string(warps) + ">(" + own + ", scratch)";
    text.line(several + "<" + std::to_string(warps) + ">(" + own + ", scratch);");
    return own + "[r]";
  }
  /// A float of each row, of the expression of one.
  void define(const std::string &number, const std::string &expression) {
    if (single()) {
      text.line("const float " + number + " = " + expression + ";");
      return;
    }
    text.line("float " + number + "[" + std::to_string(rows) + "];");
    text.line("UNROLL");
    text.line("for (int r = 0; r < " + std::to_string(rows) + "; ++r)");
    text.line("  " + number + "[r] = " + expression + ";");
  }
  /// Opens a loop over the block's rows; behind the first of all rows that one again, to the same numbers.
  void openRows() {
    text.line("UNROLL");
    text.open("for (int r = 0; r < " + std::to_string(rows) + "; ++r)");
    text.line("const int64 row = last > r ? last - r : 0;");
  }

  int piecesOf(Value value) const {
    return single() ? int((program.width(value) + int64_t(lanes) * threads - 1) / (int64_t(lanes) * threads)) : rows;
  }

  /// Runs `body` for each of the thread's pieces of rows of `width` columns.
  void eachPiece(int64_t width, llvm::function_ref<void(const Column &)> body) {
    int64_t across = int64_t(lanes) * threads;
    pieces = (width + across - 1) / across;
    std::string p = single() ? text.fresh("p") : "r", c = text.fresh("c");
    if (single()) {
      text.line("UNROLL");
      text.open("for (int " + p + " = 0; " + p + " < " + std::to_string(pieces) + "; ++" + p + ")");
      text.line("const int " + c + " = " + std::to_string(lanes) + " * ((int)threadIdx.x + " + p + " * " + std::to_string(threads) + ");");
    } else {
      openRows();
      text.line("const int " + c + " = " + std::to_string(lanes) + " * (int)threadIdx.x;");
    }
    text.open("if (" + c + " < " + std::to_string(width) + ")");
    endScope();
    piece = {c, p}, pieceWidth = width;
    body(piece);
    piece = {};
    endScope();
    text.close();
    text.close();
  }

  std::string holdRow(Value value, const std::string &stem) {
    std::string array = text.fresh(stem);
    text.line("Lanes<" + std::to_string(lanes) + "> " + array + "[" + std::to_string(piecesOf(value)) + "];");
    return array;
  }

  void needScratch() {
    if (!hasScratch)
      text.line("__shared__ float scratch" + (single() ? "" : "[" + std::to_string(rows) + "]") + "[" + std::to_string(warps) + "];");
    hasScratch = true;
  }

  void norm(Operation *op) {
    Value input = op->getOperand(0);
    bool centred = isa<LayerNormOp>(op);
    int64_t width = program.width(input);
    if (width != dimsOf(input.getType()).back().constant().value_or(0)) {
      fail(op, "normalises parts of rows, which has no CUDA form");
      return;
    }
    needScratch();
    std::string sum = text.fresh("sum"), each = std::to_string(lanes);
    if (centred)
      text.line(zeros(sum));
    bool known = arrays.contains(input);
    std::string array = known ? arrays[input] : holdRow(input, "n");
    auto read = [&](const Column &column) {
      std::string lanes = at(input, column);
      text.line(array + "[" + column.piece + "] = " + lanes + ";");
    };
    if (!known && !single()) // all rows, before a result of one keeps back the loads of the next
      eachPiece(width, read);
    const bool stores = !known && !waits && llvm::is_contained(program.results, input);
    if ((!known && single()) || stores || centred)
      eachPiece(width, [&](const Column &column) {
        if (!known && single())
          read(column);
        for (auto [i, value] : llvm::enumerate(program.results))
          if (stores && value == input)
            store(i, column, array + "[" + column.piece + "]");
        if (centred) {
          text.line("UNROLL");
          text.line("for (int e = 0; e < " + each + "; ++e)");
          text.line("  " + ofRow(sum) + " += " + array + "[" + column.piece + "].v[e];");
        }
      });
    arrays[input] = array;
    for (auto [i, value] : llvm::enumerate(program.results))
      if (stores && value == input)
        written.insert(i);
    std::string squares = text.fresh("squares"), mean, factor = text.fresh("factor"), w = std::to_string(width);
    if (centred) {
      mean = text.fresh("mean");
      define(mean, overBlock("blockSum", "blockSums", sum) + " / " + w);
    }
    text.line(zeros(squares));
    eachPiece(width, [&](const Column &column) {
      text.line("UNROLL");
      text.open("for (int e = 0; e < " + each + "; ++e)");
      text.line("const float v = " + array + "[" + column.piece + "].v[e]" + (centred ? " - " + ofRow(mean) : "") + ";");
      text.line(ofRow(squares) + " = fmaf(v, v, " + ofRow(squares) + ");");
      text.close();
    });
    define(factor, "1.0f / sqrtf(" + overBlock("blockSum", "blockSums", squares) + " / " + w + " + " + floatText(epsilonOf(op)) + ")");
    norms[op] = {mean, factor};
  }

  void result(size_t index) {
    Value value = program.results[index];
    if (auto append = value.getDefiningOp<CacheAppendOp>()) {
      Slot slot = emitSlot(text, program, append, "row");
      eachPiece(program.width(append.getTokens()), [&](const Column &column) {
        std::string own = at(append.getTokens(), column);
        emitCacheStore(text, program, append, slot, column.text, own, program.outputs[index]);
      });
      return;
    }
    if (storedType(program.outputs[index]) == DType::f8e4m3) {
      rounded(index);
      return;
    }
    if (!waits) {
      eachPiece(program.width(value), [&](const Column &column) { store(index, column, at(value, column)); });
      return;
    }
    if (!arrays.contains(value)) {
      std::string array = holdRow(value, "h");
      eachPiece(program.width(value), [&](const Column &column) { text.line(array + "[" + column.piece + "] = " + at(value, column) + ";"); });
      arrays[value] = array;
    }
    held.push_back(index);
  }

  /// A result in 8 bits, with the scale of the row. It lies over no operand: numbers of other sizes never share bytes.
  void rounded(size_t index) {
    auto op = program.results[index].getDefiningOp<RoundE4m3Op>();
    if (!op || lanes % 2 != 0) {
      fail(program.results[index].getDefiningOp(), "is kept in 8 bits, for which there is no CUDA form but that of round_e4m3 on an even number of columns");
      return;
    }
    text.include("E4m3.cuh");
    int64_t width = program.width(op);
    std::string scale = text.fresh("scale"), held = holdRow(op.getInput(), "q"), own = text.fresh("top");
    if (!op.getScale())
      text.line(zeros(own));
    eachPiece(width, [&](const Column &column) {
      text.line(held + "[" + column.piece + "] = " + at(op.getInput(), column) + ";");
      if (op.getScale())
        return;
      text.line("UNROLL");
      text.line("for (int e = 0; e < " + std::to_string(lanes) + "; ++e)");
      text.line("  " + ofRow(own) + " = maxNan(" + ofRow(own) + ", fabsf(" + held + "[" + column.piece + "].v[e]));");
    });
    std::string ofThisRow = scale;
    if (op.getScale()) {
      text.line("const float " + scale + " = " + text.pointer(program.memory.find(op.getScale())->second) + "[0];");
    } else {
      define(scale, "e4m3Scale(" + overBlock("blockMax", "blockMaxima", own) + ")");
      ofThisRow = ofRow(scale);
    }
    eachPiece(width, [&](const Column &column) { store(index, column, "scaledLanes(" + held + "[" + column.piece + "], 1.0f / " + ofThisRow + ")"); });
    if (!single())
      openRows();
    text.line("if (threadIdx.x == 0)");
    text.line("  scalesOf(" + text.pointer(program.outputs[index], true) + ", rows, " + std::to_string(width) + ")[row] = " + ofThisRow + ";");
    if (!single())
      text.close();
  }

  void store(size_t index, const Column &column, const std::string &lanesOf) {
    std::string pointer = text.pointer(program.outputs[index], true);
    text.line("storeLanes(" + pointer + " + row * " + std::to_string(program.width(program.results[index])) + " + " + column.text + ", " + lanesOf + ");");
  }

  void storeHeld() {
    text.line("__syncthreads();");
    for (size_t index : held) {
      Value value = program.results[index];
      eachPiece(program.width(value), [&](const Column &column) { store(index, column, arrays[value] + "[" + column.piece + "]"); });
    }
  }

  int threads, warps, rows;
  bool early;
  Column piece; ///< the thread's columns at hand, of rows of `pieceWidth`; it has so many pieces
  int64_t pieceWidth = 0, pieces = 0;
  std::string constants; ///< statements that read weights
  llvm::StringMap<std::string> constantArrays;
  bool waits = false, hasScratch = false;
  llvm::DenseMap<Operation *, std::string> angles;
  llvm::DenseMap<Operation *, std::pair<std::string, std::string>> norms; ///< mean and factor
  llvm::DenseMap<Value, std::string> arrays; ///< of pieces in registers: of one row, or one of each
  llvm::DenseSet<size_t> written;
  SmallVector<size_t> held;
};

} // namespace

std::string loadLanesText(KernelText &text, int lanes, const std::string &pointer, DType dtype, const std::string &index, bool same) {
  std::string result = text.fresh("x"), count = std::to_string(lanes), number = pointer + "[" + index + "]";
  text.line("const Lanes<" + count + "> " + result + " = " +
            (same ? "sameLanes<" + count + ">(" + (dtype == DType::f32 ? number : fromMemory(number, dtype)) + ")"
                  : "loadLanes<" + count + ">(" + pointer + " + " + index + ")") + ";");
  return result;
}

RowExpressions::Slot emitSlot(KernelText &text, const RowProgram &program, CacheAppendOp op, const std::string &row) {
  RowExpressions::Slot slot{text.fresh("batch"), text.fresh("slot")};
  auto pointerOf = [&](Value value) { return text.pointer(program.memory.find(value)->second); };
  auto sizeOf = [&](Value value, size_t axis) { return text.size(sizesOf(program.memory.find(value)->second)[axis]); };
  std::string past = pointerOf(op.getPastLengths()), place = text.fresh("token"), batches = sizeOf(op.getPastLengths(), 0);
  if (op.getLayout() == HeadLayout::thd) {
    text.include("Rows.cuh");
    std::string cumulative = pointerOf(op.getCumulativeLengths());
    text.line("const int " + slot.batch + " = sequenceOf(" + cumulative + ", (int)(" + batches + "), (int)" + row + ");");
    text.line("const int " + place + " = " + slot.batch + " < 0 ? 0 : (int)" + row + " - " + cumulative + "[" + slot.batch + "];");
    text.line("int " + slot.slot + " = " + slot.batch + " < 0 ? -1 : " + past + "[" + slot.batch + "] + " + place + ";");
  } else {
    // Rows are counted by batch and place: how many places a row has follows from their numbers.
    DimExpr perBatch = program.rows.dividedBy(sizesOf(program.memory.find(op.getPastLengths())->second)[0]);
    std::string seq = perBatch.isUnknown() ? "rows / (" + batches + ")" : text.size(perBatch);
    text.line("const int " + slot.batch + " = (int)((int64)" + row + " / (" + seq + "));");
    text.line("const int " + place + " = (int)((int64)" + row + " % (" + seq + "));");
    text.line("int " + slot.slot + " = " + place + " < " + pointerOf(op.getLengths()) + "[" + slot.batch + "] ? " + past + "[" + slot.batch + "] + " + place + " : -1;");
  }
  std::string capacity = sizeOf(op.getCache(), 2);
  text.line("if (" + slot.slot + " >= " + capacity + ")");
  text.line("  " + slot.slot + " = -1;");
  return slot;
}

void emitCacheStore(KernelText &text, const RowProgram &program, CacheAppendOp op, const RowExpressions::Slot &slot, const std::string &column,
                    const std::string &lanes, const CudaBuffer &cache) {
  Dims sizes = sizesOf(program.memory.find(op.getCache())->second);
  std::string heads = text.size(sizes[1]), capacity = text.size(sizes[2]), headDim = text.size(sizes[3]);
  text.line("if (" + slot.slot + " >= 0)");
  text.line("  storeLanes(" + text.pointer(cache, true) + " + (((int64)" + slot.batch + " * " + heads + " + " + column + " / " + headDim + ") * " +
            capacity + " + " + slot.slot + ") * " + headDim + " + " + column + " % " + headDim + ", " + lanes + ");");
}

/// Whether a block may take several rows of `program`: its norms wait for each other's threads, and no op does more for a row than those on columns.
static bool mayTakeSeveral(const RowProgram &program) {
  return !program.parts && llvm::any_of(program.ops, [](Operation *op) { return isa<RmsNormOp, LayerNormOp>(op); }) &&
         llvm::none_of(program.ops, [](Operation *op) { return isa<RotaryOp, CacheAppendOp>(op); });
}

FailureOr<CudaLaunchPlan> emitRows(KernelPool &pool, const RowProgram &program, int64_t most, StringRef name) {
  int64_t widest = 1;
  for (Operation *op : program.ops)
    for (Value value : llvm::concat<Value>(llvm::to_vector(op->getOperands()), llvm::to_vector(op->getResults())))
      if (program.leading.lookup(value) > 0)
        widest = std::max(widest, program.width(value));
  // Parts of a sum are many loads of a thread: more threads with fewer numbers each.
  int lanes = lanesOf(program, program.parts && widest <= 1024 ? 4 : 8);
  int64_t pieces = (widest + lanes - 1) / lanes;
  int threads = int(std::clamp<int64_t>((pieces + 31) / 32 * 32, 32, pieces > 2048 ? 512 : 256));
  CudaLaunchPlan launch;
  launch.rows = program.rows;
  auto add = [&](int rows, int64_t limit, const std::string &own) -> LogicalResult {
    KernelText text(pool);
    text.launchBounds = std::to_string(threads) + (rows > 1 ? ", " + std::to_string(768 / threads) : ""); // 80 registers: with fewer some spill
    if (failed(RowKernel(text, program, lanes, threads, rows, rows > 1 || most <= fewRows).run()))
      return failure();
    launch.choices.push_back({limit, pool.add(own, text, {uint32_t(threads)}, 0), {program.rows}, {uint32_t(rows)}});
    assert((launch.buffers.empty() || launch.buffers.size() == text.buffers.size()) && "kernels for one row and for several name buffers in one order");
    launch.buffers = text.buffers;
    return success();
  };
  const bool several = most > manyRows && pieces <= threads && mayTakeSeveral(program);
  if (failed(add(1, several ? manyRows : INT64_MAX, name.str())) || (several && failed(add(together, INT64_MAX, (name + "_many").str()))))
    return failure();
  return launch;
}

} // namespace transom::cuda
