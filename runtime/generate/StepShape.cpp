// See StepShape.h.
#include "runtime/generate/StepShape.h"

#include "runtime/generate/DecoderEngine.h"

#include <algorithm>

namespace transom {

Result<const artifact::Value *> findValue(const std::vector<artifact::Value> &values, std::string_view name,
                                          DType dtype, size_t rank) {
  for (const artifact::Value &value : values) {
    if (value.name != name)
      continue;
    if (value.dtype != dtype || value.shape.size() != rank)
      return error(StatusCode::unsupported, "\"{}\": expected {} of rank {}, found {} of rank {}", name,
                   transom::name(dtype), rank, transom::name(value.dtype), value.shape.size());
    return &value;
  }
  return error(StatusCode::unsupported, "no \"{}\"", name);
}

Range rangeOf(const artifact::Expr &dim, std::span<const artifact::Symbol> symbols) {
  if (int32_t index = dim.asSymbol(); index >= 0)
    return {symbols[static_cast<size_t>(index)].min, symbols[static_cast<size_t>(index)].max};
  auto bound = static_cast<int64_t>(upperBound(dim, symbols).value());
  return {dim.isConstant() ? bound : 0, bound};
}

void TokenBatch::fill(std::span<const std::span<const int32_t>> rows) {
  size_t longest = 0;
  for (std::span<const int32_t> row : rows)
    longest = std::max(longest, row.size());
  shape_[0] = std::max(std::ssize(rows), batch_.min);
  shape_[1] = std::max(static_cast<int64_t>(longest), seq_.min);
  std::fill_n(tokens_.begin(), shape_[0] * shape_[1], 0);
  for (size_t row = 0; row < rows.size(); ++row)
    std::copy(rows[row].begin(), rows[row].end(), tokens_.begin() + static_cast<int64_t>(row) * shape_[1]);
}

Status DecoderEngine::beginChoosing(std::span<const ChoosingRow>, const sampling::Options &, uint64_t) {
  return error(StatusCode::unsupported, "the model's tokens are chosen on the host");
}
Result<std::span<const int32_t>> DecoderEngine::choose() {
  return error(StatusCode::unsupported, "the model's tokens are chosen on the host");
}
Status DecoderEngine::end(size_t) { return {}; }

Result<std::unique_ptr<DecoderEngine>> DecoderEngine::create(Session &session) {
  const artifact::Contents &contents = session.model().contents();
  artifact::Device device = session.programDevice();
  if (contents.findProgram("prefill", device) && contents.findProgram("decode", device))
    return createCachedEngine(session);
  if (contents.findProgram("main", device) && contents.task == "generate")
    return createNaiveEngine(session);
  return error(StatusCode::unsupported, "the model does not generate text: its task is {}, and it has no programs "
               "prefill and decode", contents.task);
}

} // namespace transom
