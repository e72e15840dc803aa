// See PaddedPrompts.h.
#include "runtime/generate/PaddedPrompts.h"

#include <algorithm>
#include <cstring>

namespace transom {

namespace {

const artifact::Value *find(const artifact::Program &program, std::string_view name) {
  auto found = std::find_if(program.inputs.begin(), program.inputs.end(), [&](const auto &value) { return value.name == name; });
  return found == program.inputs.end() ? nullptr : &*found;
}
const TensorView *find(std::span<const TensorView> inputs, std::string_view name) {
  auto found = std::find_if(inputs.begin(), inputs.end(), [&](const auto &view) { return view.name == name; });
  return found == inputs.end() ? nullptr : &*found;
}

/// Whether each token of a mask is valid.
Result<std::vector<bool>> readMask(const TensorView &mask) {
  size_t count = static_cast<size_t>(mask.shape[0] * mask.shape[1]);
  std::vector<bool> valid(count);
  auto read = [&]<typename T>(T) {
    for (size_t i = 0; i < count; ++i)
      valid[i] = static_cast<const T *>(mask.data)[i] != 0;
  };
  switch (mask.dtype) {
  case DType::i32: read(int32_t()); break;
  case DType::i64: read(int64_t()); break;
  case DType::boolean: read(uint8_t()); break;
  default:
    return error(StatusCode::invalidArgument, "input \"attention_mask\": expected i32, i64 or bool, found {}", name(mask.dtype));
  }
  return valid;
}

} // namespace

bool needCompaction(const artifact::Program &program, std::span<const TensorView> inputs) {
  const artifact::Value *ids = find(program, "input_ids");
  return ids && ids->shape.size() == 2 && find(program, "lengths") && !find(program, "attention_mask") &&
         find(inputs, "attention_mask") && !find(inputs, "lengths");
}

Result<CompactedInputs> CompactedInputs::of(const artifact::Program &program, std::span<const TensorView> inputs) {
  CompactedInputs result;
  const artifact::Value *ids = find(program, "input_ids");
  const TensorView *mask = find(inputs, "attention_mask");
  if (mask->shape.size() != 2 || mask->shape[0] < 0 || mask->shape[1] < 0 || !mask->data || !bytesFor(mask->dtype, mask->shape).valid())
    return error(StatusCode::invalidArgument, "input \"attention_mask\": expected [batch, seq], found [{}]", fmt::join(mask->shape, ", "));
  TRANSOM_ASSIGN(std::vector<bool> isValid, readMask(*mask));

  int64_t batch = mask->shape[0], seq = mask->shape[1];
  std::vector<std::vector<int64_t>> valid(static_cast<size_t>(batch));
  std::vector<int32_t> lengths;
  for (int64_t row = 0; row < batch; ++row) {
    for (int64_t i = 0; i < seq; ++i)
      if (isValid[static_cast<size_t>(row * seq + i)])
        valid[static_cast<size_t>(row)].push_back(i);
    lengths.push_back(static_cast<int32_t>(valid[static_cast<size_t>(row)].size()));
  }
  for (const TensorView &input : inputs) {
    const artifact::Value *value = find(program, input.name);
    if (&input == mask)
      continue;
    bool tokens = value && value->shape.size() >= 2 && value->shape[0] == ids->shape[0] && value->shape[1] == ids->shape[1];
    if (!tokens || input.shape.size() < 2) {
      result.views_.push_back(input);
      continue;
    }
    if (input.shape[0] != batch || input.shape[1] != seq)
      return error(StatusCode::invalidArgument, "input \"{}\": expected rows like attention_mask, [{}, {}, ...], found [{}]", input.name,
                   batch, seq, fmt::join(input.shape, ", "));
    if (!input.data || !bytesFor(input.dtype, input.shape).valid())
      return error(StatusCode::invalidArgument, "input \"{}\": its data is null", input.name);
    result.addTokens(input, valid);
  }
  result.addCounts("lengths", lengths);
  if (find(program, "past_lengths") && !find(inputs, "past_lengths"))
    result.addCounts("past_lengths", std::vector<int32_t>(lengths.size()));
  return result;
}

void CompactedInputs::addTokens(const TensorView &input, const std::vector<std::vector<int64_t>> &valid) {
  auto rows = std::make_unique<Rows>();
  rows->shape.assign(input.shape.begin(), input.shape.end());
  rows->bytes.resize(bytesFor(input.dtype, input.shape).value());
  size_t seq = static_cast<size_t>(input.shape[1]), tokens = valid.size() * seq, each = tokens == 0 ? 0 : rows->bytes.size() / tokens;
  auto *from = static_cast<const std::byte *>(input.data);
  for (size_t row = 0; row < valid.size(); ++row)
    for (size_t i = 0; i < valid[row].size(); ++i)
      std::memcpy(&rows->bytes[(row * seq + i) * each], from + (row * seq + static_cast<size_t>(valid[row][i])) * each, each);
  views_.push_back({input.name, input.dtype, rows->shape, rows->bytes.data()});
  owned_.push_back(std::move(rows));
}

void CompactedInputs::addCounts(std::string_view name, std::span<const int32_t> counts) {
  auto rows = std::make_unique<Rows>();
  rows->shape = {std::ssize(counts)};
  auto bytes = std::as_bytes(counts);
  rows->bytes.assign(bytes.begin(), bytes.end());
  views_.push_back({name, DType::i32, rows->shape, rows->bytes.data()});
  owned_.push_back(std::move(rows));
}

} // namespace transom
