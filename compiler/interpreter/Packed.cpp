// Packed sequences.
#include "compiler/interpreter/Ops.h"
#include "compiler/interpreter/Reduction.h"

#include "ir/DimAnalysis.h"

namespace transom::interpreter {

namespace {

Status validTokens(ValidTokensOp op, Frame &frame) {
  const Tensor &rows = frame.in[0], *lengths = frame.find(op.getLengths());
  int64_t batch = rows.dim(0), seq = rows.dim(1);
  if (lengths)
    TRANSOM_RETURN_IF_ERROR(checkLengths("length", *lengths, seq));
  std::vector<int64_t> index;
  std::span<int64_t> cumulative = frame.out[1].change<int64_t>();
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t s = 0; s < seq; ++s)
      if (lengths ? s < lengths->integers()[b] : rows.integers()[b * seq + s] != 0)
        index.push_back(b * seq + s);
    cumulative[b + 1] = static_cast<int64_t>(index.size());
  }
  auto tokens = static_cast<int64_t>(index.size());
  auto module = op->getParentOfType<mlir::ModuleOp>();
  std::optional<Bounds> bounds = module ? boundsOf(module, op.getSize()) : std::nullopt;
  if (bounds && (tokens < bounds->min || tokens > bounds->max))
    return error(StatusCode::invalidArgument, "'{}' is {}, not in [{}, {}]", op.getSize().str(), tokens, bounds->min, bounds->max);
  frame.out[0] = Tensor::ofIntegers(DType::i32, {tokens}, std::move(index));
  return {};
}

/// Error: an entry is no token of [batch, seq], or no larger than the one before it.
Status checkIndex(const Tensor &index, int64_t tokens) {
  int64_t last = -1;
  for (int64_t entry : index.integers()) {
    if (entry <= last || entry >= tokens)
      return error(StatusCode::invalidArgument, "index holds {} behind {}: expected rising numbers below {}", entry, last, tokens);
    last = entry;
  }
  return {};
}

Status pack(PackOp, Frame &frame) {
  const Tensor &in = frame.in[0];
  int64_t tokens = in.dim(0) * in.dim(1), width = tokens == 0 ? 0 : in.size() / tokens;
  TRANSOM_RETURN_IF_ERROR(checkIndex(frame.in[1], tokens));
  withNumberType(in, [&]<typename T>(T) {
    std::span<const T> numbers = in.view<T>();
    auto out = frame.out[0].change<T>().begin();
    for (int64_t from : frame.in[1].integers())
      out = std::copy_n(numbers.begin() + from * width, width, out);
  });
  return {};
}

Status unpack(UnpackOp, Frame &frame) {
  const Tensor &in = frame.in[0], &out = frame.out[0];
  int64_t tokens = out.dim(0) * out.dim(1), width = tokens == 0 ? 0 : out.size() / tokens;
  TRANSOM_RETURN_IF_ERROR(checkIndex(frame.in[1], tokens));
  withNumberType(in, [&]<typename T>(T) {
    auto numbers = in.view<T>().begin();
    std::span<T> result = frame.out[0].change<T>();
    for (int64_t to : frame.in[1].integers()) {
      std::copy_n(numbers, width, result.begin() + to * width);
      numbers += width;
    }
  });
  return {};
}

Status reducePacked(ReducePackedOp op, Frame &frame) {
  const Tensor &in = frame.in[0];
  TRANSOM_RETURN_IF_ERROR(checkCumulative(frame.in[1], in.dim(0), anyLength));
  std::span<const int64_t> ends = frame.in[1].integers();
  withNumberType(in, [&]<typename T>(T) {
    std::span<const T> numbers = in.view<T>();
    std::span<T> out = frame.out[0].change<T>();
    size_t rows = ends.size() - 1, width = rows == 0 ? 0 : out.size() / rows;
    std::fill(out.begin(), out.end(), reductionStart<T>(op.getKind(), in.dtype()));
    for (size_t b = 0; b < rows; ++b) {
      T count = static_cast<T>(std::max<int64_t>(ends[b + 1] - ends[b], 1));
      for (size_t c = 0; c < width; ++c) {
        T &result = out[b * width + c];
        for (int64_t token = ends[b]; token < ends[b + 1]; ++token)
          result = combine(op.getKind(), result, numbers[static_cast<size_t>(token) * width + c]);
        if (op.getKind() == ReduceKind::mean)
          result /= count;
      }
    }
  });
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

} // namespace

llvm::ArrayRef<Entry> packedOps() {
  static const Entry table[] = {entry<ValidTokensOp, validTokens>(), entry<PackOp, pack>(), entry<UnpackOp, unpack>(),
                                entry<ReducePackedOp, reducePacked>(),
                                entry<CumulativeLengthsOp, cumulativeLengths>()};
  return table;
}

} // namespace transom::interpreter
