// Drawing token ids from logits.
#include "compiler/interpreter/Ops.h"
#include "compiler/interpreter/Ranking.h"

#include <array>

namespace transom::interpreter {

namespace {

/// Philox4x32-10: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, 2011.
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    uint64_t first = uint64_t(0xD2511F53) * counter[0], second = uint64_t(0xCD9E8D57) * counter[2];
    counter = {static_cast<uint32_t>(second >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(second),
               static_cast<uint32_t>(first >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(first)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

/// In [0, 1): the upper 24 bits of the first word.
double uniform(int64_t seed, int64_t step) {
  auto bits = static_cast<uint64_t>(seed);
  uint32_t word = philox({static_cast<uint32_t>(step), 0, 0, 0},
                         {static_cast<uint32_t>(bits), static_cast<uint32_t>(bits >> 32)})[0];
  return (word >> 8) * 0x1p-24;
}

struct Options {
  double temperature, topP;
  int64_t topK, seed, step;
};

int64_t draw(std::span<const double> logits, const Options &options) {
  int64_t width = static_cast<int64_t>(logits.size());
  if (options.temperature == 0)
    return largestFirst(logits, 1)[0];
  int64_t count = options.topK == 0 ? width : std::min(options.topK, width);
  std::vector<int64_t> order = largestFirst(logits, count);
  std::vector<double> probabilities;
  double total = 0;
  for (int64_t index : order) {
    double power = std::exp((logits[index] - logits[order[0]]) / options.temperature);
    // NaN counts as the smallest: no token is drawn for it.
    probabilities.push_back(std::isnan(power) ? 0 : power);
    total += probabilities.back();
  }
  // The shortest run that reaches top_p of the total; then u's place within that run.
  double kept = 0, sum = 0;
  size_t run = 0;
  while (run < order.size() && (run == 0 || kept < options.topP * total || options.topP >= 1))
    kept += probabilities[run++];
  double target = uniform(options.seed, options.step) * kept;
  for (size_t i = 0; i < run; ++i)
    if ((sum += probabilities[i]) > target)
      return order[i];
  return order[0];
}

Status sample(SampleOp, Frame &frame) {
  const Tensor &logits = frame.in[0];
  int64_t width = logits.dim(1);
  std::span<int64_t> out = frame.out[0].change<int64_t>();
  for (size_t row = 0; row < out.size(); ++row) {
    Options options{frame.in[1].floats()[row], frame.in[3].floats()[row], frame.in[2].integers()[row],
                    frame.in[4].integers()[row], frame.in[5].integers()[row]};
    if (!(options.temperature >= 0) || options.topK < 0 || !(options.topP > 0) || width == 0)
      return error(StatusCode::invalidArgument,
                   "row {} of {} logits: expected temperature >= 0, top_k >= 0 and top_p > 0, found {}, {} and {}", row,
                   width, options.temperature, options.topK, options.topP);
    out[row] = draw(logits.floats().subspan(row * width, width), options);
  }
  return {};
}

} // namespace

llvm::ArrayRef<Entry> sampleOps() {
  static const Entry table[] = {entry<SampleOp, sample>()};
  return table;
}

} // namespace transom::interpreter
