// Hugging Face folders: finds the configuration and weights, picks the importer by architecture, reads the
// tokenizer's files. The graphs are in the files of the architectures, Hf<Name>.cpp.
#include "compiler/import/SentencePooling.h"
#include "compiler/import/files/Safetensors.h"
#include "runtime/tokenizer/Tokenizer.h"

#include <filesystem>

using namespace mlir;

namespace transom {

namespace {

using Importer = Result<OwningOpRef<ModuleOp>> (*)(const HfFolder &, const ImportOptions &, MLIRContext &);

struct Architecture {
  std::string_view name;
  Importer import;
};

constexpr Architecture architectures[] = {
    {"LlamaForCausalLM", importHfLlama},
    {"MistralForCausalLM", importHfMistral},
    {"Qwen2ForCausalLM", importHfQwen2},
    {"GlmForCausalLM", importHfGlm},
    {"ChatGLMModel", importHfChatGlm},
    {"ChatGLMForConditionalGeneration", importHfChatGlm},
    {"GPT2LMHeadModel", importHfGpt2},
    {"BertModel", importHfBert},
    {"BertForSequenceClassification", importHfBert},
    {"BertForTokenClassification", importHfBert},
    {"BertForMaskedLM", importHfBert},
    {"RobertaModel", importHfRoberta},
    {"RobertaForSequenceClassification", importHfRoberta},
    {"RobertaForTokenClassification", importHfRoberta},
    {"RobertaForMaskedLM", importHfRoberta},
    {"XLMRobertaModel", importHfRoberta},
    {"XLMRobertaForSequenceClassification", importHfRoberta},
    {"XLMRobertaForTokenClassification", importHfRoberta},
    {"XLMRobertaForMaskedLM", importHfRoberta},
    {"DistilBertModel", importHfDistilBert},
    {"DistilBertForSequenceClassification", importHfDistilBert},
    {"DistilBertForTokenClassification", importHfDistilBert},
    {"DistilBertForMaskedLM", importHfDistilBert},
};

constexpr size_t maxTokenizerBytes = 256 << 20;

Result<Architecture> architectureOf(const JsonObject &config) {
  std::vector<std::string_view> supported;
  for (const Architecture &architecture : architectures)
    supported.push_back(architecture.name);
  auto field = config.json().find("architectures");
  if (field == config.json().end() || !field->is_array() || field->empty() || !field->front().is_string())
    return error(StatusCode::invalidFile, "{}: field architectures: expected a list with one of {}",
                 config.where(), listed(supported));
  std::string wanted = field->front().get<std::string>();
  for (const Architecture &architecture : architectures)
    if (architecture.name == wanted)
      return architecture;
  return error(StatusCode::unsupported, "{}: architecture '{}' is not supported; supported: {}",
               config.where(), printable(wanted), listed(supported));
}

/// The name it was published under, else the folder's.
Result<std::string> modelName(const std::string &folder, const JsonObject &config) {
  TRANSOM_ASSIGN(std::string published, config.stringOr("_name_or_path", ""));
  if (!published.empty() && published.front() != '/' && published.front() != '.')
    return printable(published);
  std::filesystem::path path = std::filesystem::path(folder).lexically_normal();
  return printable((path.has_filename() ? path : path.parent_path()).filename().string());
}

Result<std::optional<tokenizer::TokenizerSpec>> readTokenizer(const std::string &folder, bool lowercase) {
  std::filesystem::path root(folder);
  if (!isThere(root / "tokenizer.json")) {
    for (const char *name : {"tokenizer.model", "sentencepiece.bpe.model", "spiece.model"})
      if (isThere(root / name))
        return error(StatusCode::unsupported,
                     "{}: SentencePiece models are not read; expected tokenizer.json beside it, which transformers' "
                     "save_pretrained writes",
                     (root / name).string());
    return std::optional<tokenizer::TokenizerSpec>();
  }
  std::string path = (root / "tokenizer.json").string();
  TRANSOM_ASSIGN(std::string json, readTextFile(path, maxTokenizerBytes));
  TRANSOM_ASSIGN(tokenizer::TokenizerSpec spec, tokenizer::specFromTokenizerJson(json, path));
  if (isThere(root / "tokenizer_config.json")) {
    std::string configPath = (root / "tokenizer_config.json").string();
    TRANSOM_ASSIGN(std::string config, readTextFile(configPath, maxConfigBytes));
    TRANSOM_RETURN_IF_ERROR(tokenizer::applyTokenizerConfig(spec, config, configPath));
  }
  if (lowercase) {
    tokenizer::NormalizerStep step;
    step.kind = tokenizer::NormalizerKind::lowercase;
    spec.normalizers.insert(spec.normalizers.begin(), step);
  }
  // What only building it finds, such as a pattern that does not compile, is the file's fault and said now.
  TRANSOM_RETURN_IF_ERROR(tokenizer::Tokenizer::create(spec).status().within(path));
  return std::optional(std::move(spec));
}

} // namespace

Result<ImportedModel> importHfFolder(const std::string &path, const ImportOptions &options,
                                     MLIRContext &context) {
  TRANSOM_ASSIGN(SentenceConfig sentence, readSentenceConfig(path));
  std::string configPath = (std::filesystem::path(sentence.encoderFolder) / "config.json").string();
  HfFolder folder;
  folder.path = path;
  TRANSOM_ASSIGN(folder.config, JsonObject::open(configPath, maxConfigBytes));
  TRANSOM_ASSIGN(Architecture architecture, architectureOf(folder.config));
  folder.architecture = architecture.name;
  if (folder.config.has("quantization_config"))
    return error(StatusCode::unsupported,
                 "{}: quantization_config is not supported; supported: plain float weights, or "
                 "a GGUF file",
                 configPath);
  TRANSOM_ASSIGN(folder.name, modelName(path, folder.config));
  TRANSOM_ASSIGN(folder.tensors, openSafetensorsFolder(sentence.encoderFolder));
  ImportedModel imported;
  TRANSOM_ASSIGN(imported.module, architecture.import(folder, options, context));
  if (options.tokenizer) {
    auto read = readTokenizer(sentence.encoderFolder, sentence.lowercase);
    if (read.status().code() == StatusCode::unsupported)
      return error(StatusCode::unsupported, "{}; --no-tokenizer leaves it out: token ids in, token ids out",
                   read.status().message());
    TRANSOM_ASSIGN(imported.tokenizer, std::move(read));
  }
  imported.weights = std::make_unique<TensorSource>(std::move(folder.tensors));
  return imported;
}

} // namespace transom
