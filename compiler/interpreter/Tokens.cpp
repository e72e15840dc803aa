// Embedding lookup, first and last token, argmax and top-k.
#include "compiler/interpreter/Ops.h"
#include "compiler/interpreter/Ranking.h"

namespace transom::interpreter {

namespace {

void embedding(EmbeddingOp, Frame &frame) {
  const Tensor &table = frame.in[0];
  int64_t rows = table.dim(0), width = table.dim(1);
  std::span<const int64_t> indices = frame.in[1].integers();
  std::span<double> out = frame.out[0].change<double>();
  for (size_t i = 0; i < indices.size(); ++i)
    if (indices[i] >= 0 && indices[i] < rows)
      std::copy_n(&table.floats()[indices[i] * width], width, &out[i * width]);
}

/// One token of each row; operand 1 is lengths, or cumulative lengths of packed input.
template <typename Op, bool last> Status tokenOfRow(Op op, Frame &frame) {
  const Tensor &in = frame.in[0];
  bool packed = op.getCumulative() != nullptr;
  int64_t batch = frame.out[0].dim(0), seq = packed ? 0 : in.dim(1);
  TRANSOM_RETURN_IF_ERROR(packed ? checkCumulative(frame.in[1], in.dim(0), anyLength) : checkLengths("length", frame.in[1], seq));
  std::span<const int64_t> lengths = frame.in[1].integers();
  withNumberType(in, [&]<typename T>(T) {
    std::span<const T> numbers = in.view<T>();
    std::span<T> out = frame.out[0].change<T>();
    for (int64_t row = 0; row < batch; ++row) {
      int64_t width = static_cast<int64_t>(out.size()) / batch, begin = packed ? lengths[row] : row * seq;
      int64_t end = packed ? lengths[row + 1] : begin + lengths[row];
      if (begin < end)
        std::copy_n(numbers.begin() + (last ? end - 1 : begin) * width, width, out.begin() + row * width);
    }
  });
  return {};
}

Status argmax(ArgmaxOp, Frame &frame) {
  int64_t width = frame.in[0].shape().back();
  if (width == 0)
    return error(StatusCode::invalidArgument, "argmax of no numbers");
  std::span<const double> in = frame.in[0].floats();
  std::span<int64_t> out = frame.out[0].change<int64_t>();
  for (size_t row = 0; row < out.size(); ++row)
    out[row] = largestFirst(in.subspan(row * width, width), 1)[0];
  return {};
}

void topK(TopKOp op, Frame &frame) {
  int64_t width = frame.in[0].shape().back(), k = static_cast<int64_t>(op.getK());
  std::span<const double> in = frame.in[0].floats();
  std::span<double> values = frame.out[0].change<double>();
  std::span<int64_t> indices = frame.out[1].change<int64_t>();
  for (int64_t row = 0; row * k < static_cast<int64_t>(indices.size()); ++row) {
    std::vector<int64_t> order = largestFirst(in.subspan(row * width, width), k);
    for (int64_t i = 0; i < k; ++i) {
      indices[row * k + i] = order[i];
      values[row * k + i] = in[row * width + order[i]];
    }
  }
}

} // namespace

llvm::ArrayRef<Entry> tokenOps() {
  static const Entry table[] = {entry<EmbeddingOp, embedding>(), entry<LastTokenOp, tokenOfRow<LastTokenOp, true>>(),
                                entry<FirstTokenOp, tokenOfRow<FirstTokenOp, false>>(), entry<ArgmaxOp, argmax>(), entry<TopKOp, topK>()};
  return table;
}

} // namespace transom::interpreter
