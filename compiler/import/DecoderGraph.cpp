// See DecoderGraph.h.
#include "compiler/import/DecoderGraph.h"

#include <cmath>

using namespace mlir;

namespace transom {

namespace {

/// The entry function's arguments are made per layer before any tensor is looked for.
constexpr int64_t maxLayers = 1 << 12;
constexpr size_t firstPast = 3; ///< behind input_ids, attention_mask and position_ids

Port cachePort(const DecoderSizes &sizes, MLIRContext &context, const char *when, int64_t layer,
               const char *part, const std::string &length) {
  std::string heads = std::to_string(sizes.kvHeads), width = std::to_string(sizes.headDim);
  std::vector<std::string> dims = {"batch", heads, length, width};
  if (sizes.caches == CacheOrder::pastBatchHeads)
    dims = {length, "batch", heads, width};
  return {fmt::format("{}.{}.{}", when, layer, part), Float32Type::get(&context), std::move(dims)};
}

std::vector<Port> inputs(const DecoderSizes &sizes, MLIRContext &context) {
  Type i32 = IntegerType::get(&context, 32);
  std::vector<Port> ports = {{"input_ids", i32, {"batch", "seq"}},
                             {"attention_mask", i32, {"batch", "past+seq"}},
                             {"position_ids", i32, {"batch", "seq"}}};
  for (int64_t layer = 0; layer < sizes.layers; ++layer)
    for (const char *part : {"key", "value"})
      ports.push_back(cachePort(sizes, context, "past", layer, part, "past"));
  return ports;
}

} // namespace

Status checkSizes(const DecoderSizes &c) {
  for (auto [what, value] : {std::pair("hidden size", c.hidden),
                             {"heads", c.heads},
                             {"key/value heads", c.kvHeads},
                             {"head dimension", c.headDim},
                             {"feed-forward size", c.feedForward},
                             {"vocabulary size", c.vocab},
                             {"context length", c.contextLength}})
    if (value < 1 || value > maxModelSize)
      return error(StatusCode::invalidFile, "{}: {}: expected 1 to {}, found {}", c.where, what, maxModelSize,
                   value);
  if (c.layers < 1 || c.layers > maxLayers)
    return error(StatusCode::invalidFile, "{}: layers: expected 1 to {}, found {}", c.where, maxLayers,
                 c.layers);
  if (c.heads % c.kvHeads != 0)
    return error(StatusCode::invalidFile, "{}: {} key/value heads do not divide {} heads", c.where, c.kvHeads,
                 c.heads);
  if (!std::isfinite(c.epsilon) || c.epsilon <= 0)
    return error(StatusCode::invalidFile, "{}: norm epsilon: expected a positive number, found {}", c.where,
                 c.epsilon);
  return {};
}

DecoderGraph::DecoderGraph(const DecoderSizes &sizes, const TensorSource &tensors, MLIRContext &context)
    : g_(context, tensors, inputs(sizes, context)), sizes_(sizes) {}

Value DecoderGraph::extend(int64_t layer, Part part, Value tokens) {
  size_t index = firstPast + 2 * static_cast<size_t>(layer) + (part == Part::value);
  llvm::SmallVector<Value> parts = {g_.input(index), tokens};
  uint64_t axis = sizes_.caches == CacheOrder::batchHeadsPast ? 2 : 0;
  Value present = g_.op<ConcatOp>(ValueRange(parts), axis);
  presents_.emplace_back(cachePort(sizes_, *present.getContext(), "present", layer,
                                   part == Part::key ? "key" : "value", "past+seq"),
                         present);
  return present;
}

Value DecoderGraph::attend(Value query, Value key, Value value, double scale, int64_t window) {
  return g_.attention(query, key, value, mask(), {.scale = scale, .causal = true, .window = window});
}

double DecoderGraph::usualScale() const { return 1 / std::sqrt(static_cast<double>(sizes_.headDim)); }

Status DecoderGraph::fill() {
  g_.at("embedding");
  TRANSOM_ASSIGN(Value x, embed());
  for (int64_t i = 0; i < sizes_.layers; ++i) {
    g_.at(fmt::format("layers.{}", i));
    TRANSOM_ASSIGN(x, layer(x, i));
  }
  g_.at("head");
  TRANSOM_ASSIGN(Value scores, logits(x));
  g_.addResult({"logits", g_.f32(), {"batch", "seq", std::to_string(sizes_.vocab)}}, scores);
  for (auto &[port, value] : presents_)
    g_.addResult(port, value);
  return checkTensors();
}

Result<OwningOpRef<ModuleOp>> DecoderGraph::build(ModelInfo info, const ImportOptions &options) {
  TRANSOM_ASSIGN(ContextBounds bounds, contextBounds(options, sizes_.contextLength, 1));
  TRANSOM_RETURN_IF_ERROR(fill().within(sizes_.where));
  info.task = "generate";
  info.metadata["context_length"] = std::to_string(bounds.context);
  info.bounds["batch"] = {1, bounds.batch};
  info.bounds["seq"] = {1, bounds.seq};
  // The last token of a full context has all others before it.
  info.bounds["past"] = {0, std::max<int64_t>(bounds.context - 1, 1)};
  return g_.finish(info);
}

} // namespace transom
