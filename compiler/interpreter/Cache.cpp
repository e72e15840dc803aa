// Caches and packed sequences.
#include "compiler/interpreter/Ops.h"

namespace transom::interpreter {

namespace {

Status cacheAppend(CacheAppendOp op, Frame &frame) {
  const Tensor &tokens = frame.in[1];
  bool headsFirst = op.getLayout() == HeadLayout::bhsd;
  int64_t batch = frame.in[0].dim(0), heads = frame.in[0].dim(1), capacity = frame.in[0].dim(2), dim = frame.in[0].dim(3);
  int64_t seq = tokens.dim(headsFirst ? 2 : 1);
  TRANSOM_RETURN_IF_ERROR(checkLengths("past length", frame.in[2], anyLength));
  TRANSOM_RETURN_IF_ERROR(checkLengths("length", frame.in[3], seq));
  std::span<const double> in = tokens.floats();
  // The storage is unshared, and so updated in place, where the old value has no other use.
  frame.out[0] = std::move(frame.in[0]);
  std::span<double> out = frame.out[0].change<double>();
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = 0; i < frame.in[3].integers()[b]; ++i) {
        int64_t slot = frame.in[2].integers()[b] + i;
        int64_t from = headsFirst ? (b * heads + h) * seq + i : (b * seq + i) * heads + h;
        if (slot < capacity)
          std::copy_n(&in[from * dim], dim, &out[((b * heads + h) * capacity + slot) * dim]);
      }
  return {};
}

Status cumulativeLengths(CumulativeLengthsOp, Frame &frame) {
  TRANSOM_RETURN_IF_ERROR(checkLengths("length", frame.in[0], anyLength));
  std::span<const int64_t> lengths = frame.in[0].integers();
  std::span<int64_t> out = frame.out[0].change<int64_t>();
  for (size_t i = 0; i < lengths.size(); ++i)
    out[i + 1] = out[i] + lengths[i];
  return {};
}

/// Calls `copy(padded, packed)` for each valid token: its row in [batch*seq, ...] and in the packed tensor.
template <typename Copy>
void forEachToken(const Tensor &cumulative, int64_t seq, Copy copy) {
  std::span<const int64_t> ends = cumulative.integers();
  for (size_t b = 0; b + 1 < ends.size(); ++b)
    for (int64_t i = 0; i < ends[b + 1] - ends[b]; ++i)
      copy(static_cast<int64_t>(b) * seq + i, ends[b] + i);
}

Status pack(PackOp, Frame &frame) {
  const Tensor &in = frame.in[0];
  int64_t tokens = frame.out[0].dim(0), seq = in.dim(1);
  TRANSOM_RETURN_IF_ERROR(checkCumulative(frame.in[1], tokens, seq));
  withNumberType(in, [&]<typename T>(T) {
    std::span<const T> numbers = in.view<T>();
    std::span<T> out = frame.out[0].change<T>();
    if constexpr (std::is_same_v<T, double>)
      std::fill(out.begin(), out.end(), undefinedNumber());
    int64_t width = tokens == 0 ? 0 : in.size() / tokens;
    forEachToken(frame.in[1], seq, [&](int64_t padded, int64_t packed) {
      std::copy_n(numbers.begin() + padded * width, width, out.begin() + packed * width);
    });
  });
  return {};
}

Status unpack(UnpackOp, Frame &frame) {
  const Tensor &in = frame.in[0];
  int64_t tokens = in.dim(0), seq = frame.out[0].dim(1);
  TRANSOM_RETURN_IF_ERROR(checkCumulative(frame.in[1], tokens, seq));
  withNumberType(in, [&]<typename T>(T) {
    std::span<const T> numbers = in.view<T>();
    std::span<T> out = frame.out[0].change<T>();
    int64_t width = tokens == 0 ? 0 : in.size() / tokens;
    forEachToken(frame.in[1], seq, [&](int64_t padded, int64_t packed) {
      std::copy_n(numbers.begin() + packed * width, width, out.begin() + padded * width);
    });
  });
  return {};
}

} // namespace

llvm::ArrayRef<Entry> cacheOps() {
  static const Entry table[] = {entry<CacheAppendOp, cacheAppend>(), entry<CumulativeLengthsOp, cumulativeLengths>(),
                                entry<PackOp, pack>(), entry<UnpackOp, unpack>()};
  return table;
}

} // namespace transom::interpreter
