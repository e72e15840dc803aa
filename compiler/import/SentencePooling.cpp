// See SentencePooling.h.
#include "compiler/import/SentencePooling.h"

#include <filesystem>

using namespace mlir;

namespace transom {

namespace {

constexpr std::pair<std::string_view, Pooling> poolingModes[] = {
    {"pooling_mode_mean_tokens", Pooling::mean},
    {"pooling_mode_mean_sqrt_len_tokens", Pooling::meanSqrtLength},
    {"pooling_mode_cls_token", Pooling::cls},
    {"pooling_mode_max_tokens", Pooling::max},
};

/// The folder of a module: the model's own, or one directly inside it.
Result<std::string> moduleFolder(const std::string &folder, const JsonObject &module) {
  TRANSOM_ASSIGN(std::string path, module.string("path"));
  if (path.empty())
    return folder;
  if (!isPlainName(path) || path == "." || path == ".." || path.find_first_of("/\\") != std::string::npos)
    return error(StatusCode::invalidFile, "{}: path '{}': expected a plain folder name", module.where(),
                 printable(path));
  return (std::filesystem::path(folder) / path).string();
}

Result<Pooling> readPooling(const std::string &folder) {
  TRANSOM_ASSIGN(JsonObject config,
                 JsonObject::open((std::filesystem::path(folder) / "config.json").string(), maxConfigBytes));
  std::vector<Pooling> chosen;
  std::vector<std::string_view> known;
  for (auto [field, pooling] : poolingModes) {
    known.push_back(field);
    TRANSOM_ASSIGN(bool on, config.booleanOr(field, false));
    if (on)
      chosen.push_back(pooling);
  }
  for (const auto &[field, value] : config.json().items())
    if (std::string_view(field).starts_with("pooling_mode_") && !llvm::is_contained(known, field) &&
        value != false)
      return error(StatusCode::unsupported, "{}: {} is not supported; supported: {}", config.where(),
                   printable(field), listed(known));
  if (chosen.size() != 1)
    return error(StatusCode::unsupported, "{}: expected one pooling mode, found {}; supported: {}",
                 config.where(), chosen.size(), listed(known));
  return chosen[0];
}

/// Takes one entry of modules.json into `config`.
Status readModule(const std::string &folder, const JsonObject &module, SentenceConfig &config) {
  TRANSOM_ASSIGN(std::string type, module.string("type"));
  // Classes have moved between packages; their names are what counts.
  std::string kind = type.starts_with("sentence_transformers.") ? type.substr(type.rfind('.') + 1) : type;
  TRANSOM_ASSIGN(std::string path, moduleFolder(folder, module));
  if (kind == "Transformer") {
    config.encoderFolder = path;
  } else if (kind == "Pooling" && config.pooling == Pooling::none) {
    TRANSOM_ASSIGN(config.pooling, readPooling(path));
  } else if (kind == "Normalize" && config.pooling != Pooling::none && !config.normalize) {
    config.normalize = true;
  } else {
    return error(
        StatusCode::unsupported,
        "{}: module '{}' is not supported here; supported: Transformer, then Pooling, then Normalize",
        module.where(), printable(type));
  }
  return {};
}

Status readLimits(SentenceConfig &config) {
  std::filesystem::path path = std::filesystem::path(config.encoderFolder) / "sentence_bert_config.json";
  if (!isThere(path))
    return {};
  TRANSOM_ASSIGN(JsonObject limits, JsonObject::open(path.string(), maxConfigBytes));
  if (limits.has("max_seq_length")) {
    TRANSOM_ASSIGN(config.maxTokens, limits.integer("max_seq_length"));
    if (*config.maxTokens < 1)
      return error(StatusCode::invalidFile, "{}: field max_seq_length: expected a positive number, found {}",
                   limits.where(), *config.maxTokens);
  }
  TRANSOM_ASSIGN(config.lowercase, limits.booleanOr("do_lower_case", false));
  return {};
}

Status checkPrompts(const std::string &folder) {
  std::filesystem::path path = std::filesystem::path(folder) / "config_sentence_transformers.json";
  if (!isThere(path))
    return {};
  TRANSOM_ASSIGN(JsonObject config, JsonObject::open(path.string(), maxConfigBytes));
  if (config.has("default_prompt_name"))
    return error(StatusCode::unsupported,
                 "{}: default_prompt_name is not supported: texts are embedded as they are", config.where());
  return {};
}

Value sumOfValid(GraphBuilder &g, Value tokens, Value weights) {
  OpBuilder b(tokens.getContext());
  Value masked = g.op<MulOp>(tokens, weights);
  return g.op<ReduceOp>(ReduceKind::sum, masked, b.getDenseI64ArrayAttr({1}));
}

} // namespace

std::string_view name(Pooling pooling) {
  switch (pooling) {
  case Pooling::none:
    return "none";
  case Pooling::mean:
    return "mean";
  case Pooling::meanSqrtLength:
    return "mean_sqrt_len";
  case Pooling::cls:
    return "cls";
  case Pooling::max:
    return "max";
  }
  llvm_unreachable("every pooling has a name");
}

Result<SentenceConfig> readSentenceConfig(const std::string &folder) {
  SentenceConfig config;
  config.encoderFolder = folder;
  std::string path = (std::filesystem::path(folder) / "modules.json").string();
  if (!isThere(path))
    return config;
  TRANSOM_ASSIGN(std::string text, readTextFile(path, maxConfigBytes));
  TRANSOM_ASSIGN(nlohmann::json modules, parseJson(text, path));
  if (!modules.is_array())
    return error(StatusCode::invalidFile, "{}: expected a list of modules", path);
  for (size_t i = 0; i < modules.size(); ++i) {
    TRANSOM_ASSIGN(JsonObject module,
                   JsonObject::parse(modules[i].dump(), fmt::format("{}: module {}", path, i)));
    TRANSOM_RETURN_IF_ERROR(readModule(folder, module, config));
  }
  if (config.pooling == Pooling::none)
    return error(StatusCode::unsupported, "{}: no Pooling module", path);
  TRANSOM_RETURN_IF_ERROR(checkPrompts(folder));
  TRANSOM_RETURN_IF_ERROR(readLimits(config));
  return config;
}

Value pool(GraphBuilder &g, Pooling pooling, Value tokens, Value mask, int64_t width) {
  OpBuilder b(tokens.getContext());
  if (pooling == Pooling::cls) {
    Value first = g.op<SliceOp>(tokens, uint64_t(1), uint64_t(0), uint64_t(1));
    return g.op<ReshapeOp>(first, b.getDenseI64ArrayAttr({0, width}));
  }
  Value weights = g.op<ReshapeOp>(g.op<CastOp>(mask, g.f32()), b.getDenseI64ArrayAttr({0, 0, 1}));
  if (pooling == Pooling::max) {
    Value isValid = g.op<CompareOp>(ComparePredicate::gt, weights, g.constant(0));
    Value masked = g.op<SelectOp>(isValid, tokens, g.constant(-1e9f));
    return g.op<ReduceOp>(ReduceKind::max, masked, b.getDenseI64ArrayAttr({1}));
  }
  Value sum = sumOfValid(g, tokens, weights);
  Value count = g.op<ReduceOp>(ReduceKind::sum, weights, b.getDenseI64ArrayAttr({1}));
  count = g.op<MaxOp>(count, g.constant(1e-9f));
  return g.op<DivOp>(sum, pooling == Pooling::mean ? count : g.op<SqrtOp>(count));
}

Value normalizeRows(GraphBuilder &g, Value vectors) {
  OpBuilder b(vectors.getContext());
  Value squares = g.op<MulOp>(vectors, vectors);
  Value sum = g.op<ReduceOp>(ReduceKind::sum, squares, b.getDenseI64ArrayAttr({1}), /*keep_dims=*/true);
  Value length = g.op<SqrtOp>(sum);
  length = g.op<MaxOp>(length, g.constant(1e-12f));
  return g.op<DivOp>(vectors, length);
}

} // namespace transom
