// See Buckets.h.
#include "compiler/Buckets.h"

#include "runtime/format/Buckets.h"
#include "runtime/support/File.h"

#include <charconv>
#include <fmt/format.h>
#include <limits>

namespace transom {

namespace {

constexpr size_t largestFile = 64 << 20;
constexpr int64_t cells = 1024;

/// How likely each total of tokens is, by cells of `step` tokens: cell i stands for totals up to (i + 1) * step.
std::vector<double> totals(std::span<const int64_t> lengths, int64_t maxBatch, int64_t most, int64_t step) {
  auto size = static_cast<size_t>((most + step - 1) / step);
  std::vector<double> one(size + 1), sum(size + 1), all(size);
  for (int64_t length : lengths) // by the number of whole cells, rounded up
    one[static_cast<size_t>(std::min((length + step - 1) / step, std::ssize(all)))] += 1.0 / static_cast<double>(lengths.size());
  sum[0] = 1;
  for (int64_t batch = 1; batch <= maxBatch; ++batch) {
    std::vector<double> next(size + 1);
    for (size_t a = 0; a <= size; ++a)
      for (size_t b = 0; sum[a] > 0 && b <= size; ++b) // most lengths do not occur
        if (one[b] > 0)
          next[std::min(a + b, size)] += sum[a] * one[b];
    sum = std::move(next);
    for (size_t i = 0; i < size; ++i)
      all[i] += sum[i + 1] / static_cast<double>(maxBatch);
  }
  return all;
}

/// Of what is computed where a total in cell i goes to `bucket(i)`.
template <typename Bucket> double wasteOf(const std::vector<double> &likely, int64_t step, int64_t most, Bucket bucket) {
  double computed = 0, live = 0;
  for (size_t i = 0; i < likely.size(); ++i) {
    int64_t total = std::min((static_cast<int64_t>(i) + 1) * step, most);
    computed += likely[i] * static_cast<double>(bucket(total));
    live += likely[i] * static_cast<double>(total);
  }
  return computed > 0 ? 1 - live / computed : 0;
}

} // namespace

Result<std::vector<int64_t>> readLengths(const std::string &path, int64_t most) {
  TRANSOM_ASSIGN(std::string text, readTextFile(path, largestFile));
  std::vector<int64_t> lengths;
  size_t number = 0;
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    ++number;
    if (line.ends_with('\r'))
      line.remove_suffix(1);
    int64_t length = 0;
    auto [end, failed] = std::from_chars(line.data(), line.data() + line.size(), length);
    if (failed != std::errc() || end != line.data() + line.size() || length < 1 || length > most)
      return error(StatusCode::invalidFile, "{}: line {}: expected a number of tokens from 1 to {}, found \"{}\"", path, number, most, line.substr(0, 40));
    lengths.push_back(length);
  }
  return lengths;
}

BucketChoice chooseBuckets(std::span<const int64_t> lengths, int64_t maxBatch, const artifact::Symbol &tokens, size_t count) {
  int64_t step = std::max<int64_t>(1, tokens.max / cells);
  std::vector<double> likely = totals(lengths, maxBatch, tokens.max, step);
  size_t size = likely.size();
  auto end = [&](size_t i) { return std::min((static_cast<int64_t>(i) + 1) * step, tokens.max); };
  // The least that is computed for cells [0, i] with `used` buckets, the last of which ends with cell i, and where the one before ends.
  constexpr double never = std::numeric_limits<double>::infinity();
  std::vector<double> before(size, never), summed(size + 1);
  for (size_t i = 0; i < size; ++i)
    summed[i + 1] = summed[i] + likely[i];
  for (size_t i = 0; i < size; ++i)
    before[i] = summed[i + 1] * static_cast<double>(end(i));
  std::vector<std::vector<size_t>> cuts;
  for (size_t used = 1; used < std::min(count, size); ++used) {
    std::vector<double> least = before;
    std::vector<size_t> &cut = cuts.emplace_back(size, size);
    for (size_t i = 1; i < size; ++i)
      for (size_t j = 0; j < i; ++j)
        if (double sum = before[j] + (summed[i + 1] - summed[j + 1]) * static_cast<double>(end(i)); sum < least[i])
          least[i] = sum, cut[i] = j;
    before = std::move(least);
  }
  BucketChoice choice;
  size_t i = size - 1;
  choice.sizes = {tokens.max};
  for (size_t used = cuts.size(); used-- > 0;)
    if (cuts[used][i] < size)
      i = cuts[used][i], choice.sizes.insert(choice.sizes.begin(), end(i));
  artifact::Symbol own = tokens;
  own.buckets = choice.sizes;
  choice.waste = wasteOf(likely, step, tokens.max, [&](int64_t total) { return artifact::bucketOf(total, own); });
  choice.plainWaste = wasteOf(likely, step, tokens.max, [&](int64_t total) { return artifact::bucketOf(total, tokens); });
  return choice;
}

} // namespace transom
