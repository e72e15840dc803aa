// GGUF files of the `llama` architecture: metadata to LlamaConfig. Query and key rows lie permuted in these
// files so that rotary pairs are neighbours; the graph says so (interleaved) and the weights stay as they
// are.
#include "compiler/import/LlamaGraph.h"

#include <filesystem>

using namespace mlir;

namespace transom {

namespace {

const LlamaNames ggufNames = {"token_embd",    "blk.{}.attn_norm",   "blk.{}.attn_q",   "blk.{}.attn_k",
                              "blk.{}.attn_v", "blk.{}.attn_output", "blk.{}.ffn_norm", "blk.{}.ffn_gate",
                              "blk.{}.ffn_up", "blk.{}.ffn_down",    "output_norm",     "output"};

Status readRope(const GgufFile &file, LlamaConfig &config) {
  RopeConfig &rope = config.rope;
  rope.interleaved = true;
  TRANSOM_ASSIGN(rope.dims, file.integerOr("llama.rope.dimension_count", config.headDim));
  TRANSOM_ASSIGN(rope.base, file.numberOr("llama.rope.freq_base", 10000));
  TRANSOM_ASSIGN(std::string_view scaling, file.stringOr("llama.rope.scaling.type", ""));
  // Files from before scaling.type have linear scaling under this key.
  TRANSOM_ASSIGN(double oldFactor, file.numberOr("llama.rope.scale_linear", 1));
  TRANSOM_ASSIGN(double factor, file.numberOr("llama.rope.scaling.factor", oldFactor));
  if (scaling == "linear" || (scaling.empty() && factor != 1))
    rope.scale = 1 / factor;
  else if (!scaling.empty() && scaling != "none")
    return error(StatusCode::unsupported,
                 "{}: llama.rope.scaling.type '{}' is not supported; supported: none, linear", file.path(),
                 printable(scaling));
  if (file.tensors().find("rope_freqs.weight"))
    rope.factorsTensor = "rope_freqs.weight";
  return {};
}

Status readSizes(const GgufFile &file, LlamaConfig &config) {
  TRANSOM_ASSIGN(config.layers, file.integer("llama.block_count"));
  TRANSOM_ASSIGN(config.hidden, file.integer("llama.embedding_length"));
  TRANSOM_ASSIGN(config.feedForward, file.integer("llama.feed_forward_length"));
  TRANSOM_ASSIGN(config.contextLength, file.integer("llama.context_length"));
  TRANSOM_ASSIGN(config.heads, file.integer("llama.attention.head_count"));
  TRANSOM_ASSIGN(config.kvHeads, file.integerOr("llama.attention.head_count_kv", config.heads));
  TRANSOM_ASSIGN(config.epsilon, file.number("llama.attention.layer_norm_rms_epsilon"));
  int64_t evenSplit = config.heads > 0 ? config.hidden / config.heads : 0;
  TRANSOM_ASSIGN(config.headDim, file.integerOr("llama.attention.key_length", evenSplit));
  TRANSOM_ASSIGN(int64_t valueDim, file.integerOr("llama.attention.value_length", config.headDim));
  if (valueDim != config.headDim)
    return error(StatusCode::unsupported,
                 "{}: llama.attention.value_length {} differs from the key length {}", file.path(), valueDim,
                 config.headDim);
  TRANSOM_ASSIGN(int64_t experts, file.integerOr("llama.expert_count", 0));
  if (experts != 0)
    return error(StatusCode::unsupported, "{}: llama.expert_count {}: mixtures of experts are not supported",
                 file.path(), experts);
  // The table's own shape is the truth; llama.vocab_size is missing from older files.
  TRANSOM_ASSIGN(const Tensor *table, file.tensors().get("token_embd.weight"));
  TRANSOM_ASSIGN(config.vocab,
                 file.integerOr("llama.vocab_size", table->shape.empty() ? 0 : table->shape[0]));
  return {};
}

Status readTokenIds(const GgufFile &file, ModelInfo &info) {
  std::set<int64_t> ends;
  for (const char *key :
       {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"})
    if (file.has(key)) {
      TRANSOM_ASSIGN(int64_t id, file.integer(key));
      if (id != UINT32_MAX) // files write it for "none"
        ends.insert(id);
    }
  if (!ends.empty())
    info.metadata["eos_token_ids"] = fmt::format("{}", fmt::join(ends, ","));
  if (file.has("tokenizer.ggml.bos_token_id")) {
    TRANSOM_ASSIGN(int64_t id, file.integer("tokenizer.ggml.bos_token_id"));
    if (id != UINT32_MAX)
      info.metadata["bos_token_id"] = std::to_string(id);
  }
  return {};
}

} // namespace

Result<ImportedModel> importGguf(const std::string &path, const ImportOptions &options,
                                 MLIRContext &context) {
  TRANSOM_ASSIGN(GgufFile file, GgufFile::open(path));
  TRANSOM_ASSIGN(std::string_view architecture, file.string("general.architecture"));
  if (architecture != "llama")
    return error(StatusCode::unsupported,
                 "{}: architecture '{}' is not supported in GGUF files; supported: llama", path,
                 printable(architecture));
  LlamaConfig config;
  config.where = path;
  config.names = ggufNames;
  config.projectionBias = config.outputBias = config.feedForwardBias = Bias::ifPresent;
  config.tiedHead = !file.tensors().find("output.weight");
  TRANSOM_RETURN_IF_ERROR(readSizes(file, config));
  TRANSOM_RETURN_IF_ERROR(readRope(file, config));

  ModelInfo info;
  info.architecture = "llama";
  info.metadata["source"] = "gguf";
  std::string stem = std::filesystem::path(path).stem().string();
  TRANSOM_ASSIGN(std::string_view model, file.stringOr("general.name", stem));
  info.model = printable(model);
  TRANSOM_RETURN_IF_ERROR(readTokenIds(file, info));

  ImportedModel imported;
  TRANSOM_ASSIGN(imported.module, buildLlama(config, info, file.tensors(), options, context));
  if (options.tokenizer) {
    TRANSOM_ASSIGN(imported.tokenizer, ggufTokenizer(file));
  }
  imported.weights = std::make_unique<TensorSource>(file.takeTensors());
  return imported;
}

} // namespace transom
