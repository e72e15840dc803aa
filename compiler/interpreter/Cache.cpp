// Caches of keys and values.
#include "compiler/interpreter/Ops.h"

namespace transom::interpreter {

namespace {

/// Copies the new token at row `from` of the tokens, seen as [rows, head_dim], to its slot.
struct Append {
  std::span<const double> in;
  std::span<double> out;
  int64_t heads, capacity, dim;
  void operator()(int64_t from, int64_t b, int64_t h, int64_t slot) const {
    if (slot < capacity)
      std::copy_n(&in[from * dim], dim, &out[((b * heads + h) * capacity + slot) * dim]);
  }
};

Status cacheAppend(CacheAppendOp op, Frame &frame) {
  const Tensor &tokens = frame.in[1], &past = frame.in[2], &lengths = frame.in[3];
  bool headsFirst = op.getLayout() == HeadLayout::bhsd, packed = op.getLayout() == HeadLayout::thd;
  int64_t batch = frame.in[0].dim(0), heads = frame.in[0].dim(1), seq = tokens.dim(packed ? 0 : headsFirst ? 2 : 1);
  TRANSOM_RETURN_IF_ERROR(checkLengths("past length", past, anyLength));
  TRANSOM_RETURN_IF_ERROR(packed ? checkCumulative(lengths, seq, anyLength) : checkLengths("length", lengths, seq));
  // The storage is unshared, and so updated in place, where the old value has no other use.
  frame.out[0] = std::move(frame.in[0]);
  Append append{tokens.floats(), frame.out[0].change<double>(), heads, frame.out[0].dim(2), frame.out[0].dim(3)};
  for (int64_t b = 0; b < batch; ++b) {
    int64_t start = packed ? lengths.integers()[b] : 0, end = packed ? lengths.integers()[b + 1] : lengths.integers()[b];
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = start; i < end; ++i) {
        int64_t from = packed ? i * heads + h : headsFirst ? (b * heads + h) * seq + i : (b * seq + i) * heads + h;
        append(from, b, h, past.integers()[b] + i - start);
      }
  }
  return {};
}

} // namespace

llvm::ArrayRef<Entry> cacheOps() {
  static const Entry table[] = {entry<CacheAppendOp, cacheAppend>()};
  return table;
}

} // namespace transom::interpreter
