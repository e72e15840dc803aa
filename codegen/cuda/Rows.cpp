// See Rows.h.
//
// 1. Rotary angles of the row go to shared memory.
// 2. Each norm: its input, piece by piece into registers, then the statistics over the block. Results that are such an input are
//    written on the way.
// 3. Each other result, piece by piece. Where a result lies over an operand that other threads read, all results wait in registers
//    until every thread has read.
#include "codegen/cuda/Rows.h"

using namespace mlir;
using llvm::SmallVector;

namespace transom::cuda {

namespace {

/// A row in registers: `pieces` arrays of lanes.
struct Held {
  std::string array;
  int pieces;
};

class RowKernel : public RowExpressions {
public:
  RowKernel(KernelText &text, const RowProgram &program, int lanes, int threads, bool fewRows)
      : RowExpressions(text, program, lanes), threads(threads), warps(threads / 32), fewRows(fewRows) {}

  LogicalResult run() {
    text.include("Lanes.cuh");
    text.include("Rows.cuh");
    text.line("launchDependents();");
    std::string rows = text.size(program.rows);
    text.line("const int64 rows = " + rows + ";");
    text.line("const int64 row = rows - 1 - blockIdx.x;"); // from the last one on, which was written last and is still in L2
    const size_t wait = text.body.size();
    text.line("waitProducers();");
    text.open("if (row < 0)");
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
    if (!fewRows || same || index != piece.text || piece.piece.empty() || pieces > 2 || !isConstant(text.buffers[std::stoul(pointer.substr(1))]))
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
    text.line("const Lanes<" + each + "> " + name + " = lanesOf<" + type + ">(" + array + "[" + piece.piece + "]);");
    return name;
  }
  std::string loadInteger(const std::string &pointer, DType, const std::string &index) override { return "(int)" + pointer + "[" + index + "]"; }
  std::string angle(RotaryOp op, const std::string &pair) override { return angles.lookup(op) + "[" + pair + "]"; }

  std::string special(Value value, const Column &column) override {
    if (auto held = arrays.find(value); held != arrays.end() && !column.piece.empty())
      return held->second.array + "[" + column.piece + "]";
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
      std::string number = mean.empty() ? name(input, e) : "(" + name(input, e) + " - " + mean + ")";
      return number + " * " + factor + " * " + name(scale, e) + (bias.empty() ? "" : " + " + name(bias, e));
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

  int piecesOf(Value value) const { return int((program.width(value) + int64_t(lanes) * threads - 1) / (int64_t(lanes) * threads)); }

  /// Runs `body` for each of the thread's pieces of a row of `width` columns.
  void eachPiece(int64_t width, llvm::function_ref<void(const Column &)> body) {
    int64_t across = int64_t(lanes) * threads;
    pieces = (width + across - 1) / across;
    std::string p = text.fresh("p"), c = text.fresh("c");
    text.line("UNROLL");
    text.open("for (int " + p + " = 0; " + p + " < " + std::to_string(pieces) + "; ++" + p + ")");
    text.line("const int " + c + " = " + std::to_string(lanes) + " * ((int)threadIdx.x + " + p + " * " + std::to_string(threads) + ");");
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
      text.line("__shared__ float scratch[" + std::to_string(warps) + "];");
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
      text.line("float " + sum + " = 0.0f;");
    bool known = arrays.contains(input);
    std::string array = known ? arrays[input].array : holdRow(input, "n");
    if (!known || centred)
      eachPiece(width, [&](const Column &column) {
        if (!known) {
          std::string lanes = at(input, column);
          text.line(array + "[" + column.piece + "] = " + lanes + ";");
          for (auto [i, value] : llvm::enumerate(program.results))
            if (value == input && !waits)
              store(i, column, lanes);
        }
        if (centred) {
          text.line("UNROLL");
          text.line("for (int e = 0; e < " + each + "; ++e)");
          text.line("  " + sum + " += " + array + "[" + column.piece + "].v[e];");
        }
      });
    arrays[input] = {array, piecesOf(input)};
    if (!known && !waits)
      for (auto [i, value] : llvm::enumerate(program.results))
        if (value == input)
          written.insert(i);
    std::string squares = text.fresh("squares"), mean, factor = text.fresh("factor"), w = std::to_string(width);
    if (centred) {
      mean = text.fresh("mean");
      text.line("const float " + mean + " = blockSum<" + std::to_string(warps) + ">(" + sum + ", scratch) / " + w + ";");
    }
    text.line("float " + squares + " = 0.0f;");
    eachPiece(width, [&](const Column &column) {
      text.line("UNROLL");
      text.open("for (int e = 0; e < " + each + "; ++e)");
      text.line("const float v = " + array + "[" + column.piece + "].v[e]" + (centred ? " - " + mean : "") + ";");
      text.line(squares + " = fmaf(v, v, " + squares + ");");
      text.close();
    });
    double epsilon = centred ? cast<LayerNormOp>(op).getEpsilon().convertToDouble() : cast<RmsNormOp>(op).getEpsilon().convertToDouble();
    text.line("const float " + factor + " = 1.0f / sqrtf(blockSum<" + std::to_string(warps) + ">(" + squares + ", scratch) / " + w + " + " + floatText(epsilon) + ");");
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
      arrays[value] = {array, piecesOf(value)};
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
      text.line("float " + own + " = 0.0f;");
    eachPiece(width, [&](const Column &column) {
      text.line(held + "[" + column.piece + "] = " + at(op.getInput(), column) + ";");
      if (op.getScale())
        return;
      text.line("UNROLL");
      text.line("for (int e = 0; e < " + std::to_string(lanes) + "; ++e)");
      text.line("  " + own + " = maxNan(" + own + ", fabsf(" + held + "[" + column.piece + "].v[e]));");
    });
    if (op.getScale()) {
      text.line("const float " + scale + " = " + text.pointer(program.memory.find(op.getScale())->second) + "[0];");
    } else {
      needScratch();
      text.line("const float " + scale + " = e4m3Scale(blockMax<" + std::to_string(warps) + ">(" + own + ", scratch));");
    }
    eachPiece(width, [&](const Column &column) { store(index, column, "scaledLanes(" + held + "[" + column.piece + "], 1.0f / " + scale + ")"); });
    text.line("if (threadIdx.x == 0)");
    text.line("  scalesOf(" + text.pointer(program.outputs[index], true) + ", rows, " + std::to_string(width) + ")[row] = " + scale + ";");
  }

  void store(size_t index, const Column &column, const std::string &lanesOf) {
    std::string pointer = text.pointer(program.outputs[index], true);
    text.line("storeLanes(" + pointer + " + row * " + std::to_string(program.width(program.results[index])) + " + " + column.text + ", " + lanesOf + ");");
  }

  void storeHeld() {
    text.line("__syncthreads();");
    for (size_t index : held) {
      Value value = program.results[index];
      eachPiece(program.width(value), [&](const Column &column) { store(index, column, arrays[value].array + "[" + column.piece + "]"); });
    }
  }

  int threads, warps;
  bool fewRows;
  Column piece; ///< the thread's columns at hand, of rows of `pieceWidth`; it has so many pieces
  int64_t pieceWidth = 0, pieces = 0;
  std::string constants; ///< statements that read weights
  llvm::StringMap<std::string> constantArrays;
  bool waits = false, hasScratch = false;
  llvm::DenseMap<Operation *, std::string> angles;
  llvm::DenseMap<Operation *, std::pair<std::string, std::string>> norms; ///< mean and factor
  llvm::DenseMap<Value, Held> arrays;
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
  KernelText text(pool);
  text.launchBounds = std::to_string(threads);
  constexpr int64_t few = 64; // fewer than there are multiprocessors
  RowKernel kernel(text, program, lanes, threads, most <= few);
  if (failed(kernel.run()))
    return failure();
  CudaLaunchPlan launch;
  launch.rows = program.rows;
  launch.choices.push_back({INT64_MAX, pool.add(name, text, {uint32_t(threads)}, 0), {program.rows}});
  launch.buffers = text.buffers;
  return launch;
}

} // namespace transom::cuda
