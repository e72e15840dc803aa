// Attention, rotary embedding, positions.
#include "compiler/interpreter/Ops.h"
#include "compiler/interpreter/Reduction.h"

namespace transom::interpreter {

namespace {

/// Sizes of a tensor with heads and the places of its vectors. thd counts as one row of a batch.
struct Heads {
  int64_t batch, heads, seq, dim;
  bool headsFirst;
  Heads(HeadLayout layout, const Tensor &tensor) : headsFirst(layout == HeadLayout::bhsd) {
    const Tensor::Shape &shape = tensor.shape();
    bool packed = layout == HeadLayout::thd;
    batch = packed ? 1 : shape[0];
    seq = packed ? shape[0] : shape[headsFirst ? 2 : 1];
    heads = packed ? shape[1] : shape[headsFirst ? 1 : 2];
    dim = shape.back();
  }
  int64_t at(int64_t b, int64_t h, int64_t s) const {
    return (headsFirst ? (b * heads + h) * seq + s : (b * seq + s) * heads + h) * dim;
  }
};

/// The keys that a query may attend to, before the mask: [begin, end) of a row of the keys' batch, none if the query is
/// padding.
struct Keys {
  int64_t row = 0, begin = 0, end = 0;
  bool defined = true;
};

struct Attention {
  Heads query, key;
  const Tensor *mask, *bias, *past, *lengths, *cumulative, *keyCumulative;
  std::span<const double> queries, keys, values;
  double scale;
  bool causal;
  std::optional<int64_t> window; ///< in tokens
  std::optional<double> softcap;

  Attention(AttentionOp op, Frame &frame)
      : query(op.getLayout(), frame.in[0]),
        key(op.getPastLengths() ? HeadLayout::bhsd : op.getLayout(), frame.in[1]), mask(frame.find(op.getMask())),
        bias(frame.find(op.getBias())), past(frame.find(op.getPastLengths())), lengths(frame.find(op.getLengths())),
        cumulative(frame.find(op.getCumulativeLengths())),
        keyCumulative(frame.find(op.getKeyCumulativeLengths())), queries(frame.in[0].floats()), keys(frame.in[1].floats()),
        values(frame.in[2].floats()), scale(op.getScale().convertToDouble()),
        causal(op.getCausal()) {
    if (op.getWindow())
      window = static_cast<int64_t>(*op.getWindow());
    if (op.getSoftcap())
      softcap = op.getSoftcap()->convertToDouble();
  }

  static constexpr Keys padding{0, 0, 0, false};

  /// All keys of the query's sequence; `position` becomes the query's own place, counted like the keys.
  Keys sequenceOf(int64_t b, int64_t i, int64_t &position) const {
    if (cumulative) {
      std::span<const int64_t> ends = cumulative->integers();
      size_t sequence = std::upper_bound(ends.begin(), ends.end(), i) - ends.begin();
      if (sequence == ends.size())
        return padding;
      int64_t row = static_cast<int64_t>(sequence) - 1, own = i - ends[row], count = ends[sequence] - ends[row];
      if (past) {
        position = past->integers()[row] + own;
        return {row, 0, past->integers()[row] + count};
      }
      std::span<const int64_t> keyEnds = keyCumulative ? keyCumulative->integers() : ends;
      position = keyEnds[sequence] - count + own;
      return {0, keyEnds[row], keyEnds[sequence]};
    }
    if (past) {
      if (i >= lengths->integers()[b])
        return padding;
      position = past->integers()[b] + i;
      return {b, 0, past->integers()[b] + lengths->integers()[b]};
    }
    position = i + key.seq - query.seq;
    return {b, 0, key.seq};
  }

  Keys allowed(int64_t b, int64_t i) const {
    int64_t position = 0;
    Keys keys = sequenceOf(b, i, position);
    if (causal)
      keys.end = std::min(keys.end, position + 1);
    if (window)
      keys.begin = std::max(keys.begin, position - *window + 1);
    keys.end = std::min(keys.end, key.seq);
    return keys;
  }

  double biasAt(int64_t b, int64_t h, int64_t i, int64_t j) const {
    int64_t at = 0, index[] = {b, h, i, j};
    for (int axis = 0; axis < 4; ++axis)
      at = at * bias->dim(axis) + (bias->dim(axis) == 1 ? 0 : index[axis]);
    return bias->floats()[at];
  }

  double score(int64_t b, int64_t h, int64_t i, int64_t keyRow, int64_t j) const {
    const double *q = &queries[query.at(b, h, i)], *k = &keys[key.at(keyRow, h / (query.heads / key.heads), j)];
    double sum = 0;
    for (int64_t d = 0; d < query.dim; ++d)
      sum += q[d] * k[d];
    sum *= scale;
    if (softcap)
      sum = *softcap * std::tanh(sum / *softcap);
    if (bias)
      sum += biasAt(b, h, i, j);
    return mask && mask->integers()[b * key.seq + j] == 0 ? -std::numeric_limits<double>::infinity() : sum;
  }

  void attend(int64_t b, int64_t h, int64_t i, std::span<double> out) const {
    Keys range = allowed(b, i);
    std::fill(out.begin(), out.end(), range.defined ? 0.0 : undefinedNumber());
    std::vector<double> weights(std::max<int64_t>(range.end - range.begin, 0));
    for (size_t j = 0; j < weights.size(); ++j)
      weights[j] = score(b, h, i, range.row, range.begin + j);
    softmaxRow(weights);
    for (size_t j = 0; j < weights.size(); ++j) {
      // A key of weight 0 may lie in a slot that was never written.
      const double *v = &values[key.at(range.row, h / (query.heads / key.heads), range.begin + j)];
      for (int64_t d = 0; weights[j] != 0 && d < query.dim; ++d)
        out[d] += weights[j] * v[d];
    }
  }
};

Status attention(AttentionOp op, Frame &frame) {
  Attention work(op, frame);
  if (work.past)
    TRANSOM_RETURN_IF_ERROR(checkLengths("past length", *work.past, anyLength));
  if (work.lengths)
    TRANSOM_RETURN_IF_ERROR(checkLengths("length", *work.lengths, work.query.seq));
  if (work.cumulative)
    TRANSOM_RETURN_IF_ERROR(checkCumulative(*work.cumulative, work.query.seq, anyLength));
  if (work.keyCumulative)
    TRANSOM_RETURN_IF_ERROR(checkCumulative(*work.keyCumulative, work.key.seq, anyLength));
  if (work.query.heads > 0 && (work.key.heads == 0 || work.query.heads % work.key.heads != 0))
    return error(StatusCode::invalidArgument, "{} query heads do not share {} key/value heads", work.query.heads, work.key.heads);
  std::span<double> out = frame.out[0].change<double>();
  const Heads &q = work.query;
  int64_t rows = q.batch * q.heads * q.seq;
  parallelFor(rows, rows * work.key.seq * q.dim, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      int64_t i = row % q.seq, h = row / q.seq % q.heads, b = row / q.seq / q.heads;
      work.attend(b, h, i, out.subspan(q.at(b, h, i), q.dim));
    }
  });
  return {};
}

void rotary(RotaryOp op, Frame &frame) {
  Heads heads(op.getLayout(), frame.in[0]);
  std::span<const double> in = frame.in[0].floats();
  std::span<const int64_t> positions = frame.in[1].integers();
  const Tensor *factors = frame.find(op.getFactors());
  std::span<double> out = frame.out[0].change<double>();
  std::copy(in.begin(), in.end(), out.begin());
  int64_t half = static_cast<int64_t>(op.getDims()) / 2;
  double base = op.getBase().convertToDouble(), scale = op.getScale().convertToDouble();
  auto turn = [&](int64_t start, double position) {
    for (int64_t i = 0; i < half; ++i) {
      double angle = position * scale * std::pow(base, -static_cast<double>(i) / static_cast<double>(half));
      if (factors)
        angle /= factors->floats()[i];
      int64_t first = start + (op.getInterleaved() ? 2 * i : i), second = op.getInterleaved() ? first + 1 : first + half;
      out[first] = in[first] * std::cos(angle) - in[second] * std::sin(angle);
      out[second] = in[first] * std::sin(angle) + in[second] * std::cos(angle);
    }
  };
  for (int64_t b = 0; b < heads.batch; ++b)
    for (int64_t s = 0; s < heads.seq; ++s)
      for (int64_t h = 0; h < heads.heads; ++h)
        turn(heads.at(b, h, s), static_cast<double>(positions[b * heads.seq + s]));
}

void positions(PositionsOp, Frame &frame) {
  std::span<const int64_t> start = frame.in[0].integers();
  std::span<int64_t> out = frame.out[0].change<int64_t>();
  for (int64_t row = 0, seq = frame.out[0].dim(1); row < frame.out[0].dim(0); ++row)
    for (int64_t i = 0; i < seq; ++i)
      out[row * seq + i] = start[row] + i;
}

} // namespace

llvm::ArrayRef<Entry> attentionOps() {
  static const Entry table[] = {entry<AttentionOp, attention>(), entry<RotaryOp, rotary>(),
                                entry<PositionsOp, positions>()};
  return table;
}

} // namespace transom::interpreter
