// Importers: the graphs that tiny models of each kind become, and the errors for files that are wrong or
// unknown.
#include "compiler/import/Import.h"
#include "test/unit/TinyModels.h"

#include "ir/Transom.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/MLIRContext.h"

#include <gtest/gtest.h>

#include <cmath>

using namespace transom;
using namespace transom::test;
using testing::AssertionFailure;
using testing::AssertionResult;
using testing::AssertionSuccess;

namespace {

mlir::MLIRContext &context() {
  static mlir::MLIRContext instance(mlir::MLIRContext::Threading::DISABLED);
  return instance;
}

/// The module as text, or the error.
std::string imported(const ModelFolder &folder, std::string_view file = "",
                     const ImportOptions &options = {}) {
  Result<ImportedModel> model =
      importModel((file.empty() ? folder.path : folder.path / file).string(), options, context());
  if (!model.ok())
    return folder.masked(model.status().message());
  std::string text;
  llvm::raw_string_ostream stream(text);
  mlir::OpPrintingFlags flags;
  model->module->print(stream, flags.elideLargeElementsAttrs(1000));
  return text;
}

size_t count(std::string_view text, std::string_view part) {
  size_t found = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string_view::npos; at += part.size())
    ++found;
  return found;
}

AssertionResult has(std::string_view text, std::string_view part) {
  if (text.find(part) != std::string_view::npos)
    return AssertionSuccess();
  return AssertionFailure() << "no '" << part << "' in\n" << text;
}

std::string hfLlama(std::string_view moreConfig = "", const Shapes &shapes = llamaShapes(),
                    std::string_view dtype = "F32", int64_t size = 4) {
  ModelFolder folder;
  folder.write("config.json", llamaConfig(moreConfig));
  folder.write("model.safetensors", zeroTensors(shapes, dtype, size));
  return imported(folder);
}

std::string hfBert(std::string_view moreConfig = "", const Shapes &shapes = bertShapes()) {
  ModelFolder folder;
  folder.write("config.json", bertConfig(moreConfig));
  folder.write("model.safetensors", zeroTensors(shapes));
  return imported(folder);
}

constexpr std::string_view sentenceModules =
    R"([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},)"
    R"({"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},)"
    R"({"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}])";

std::string sentenceModel(std::string_view modules, std::string_view pooling, std::string_view limits = "") {
  ModelFolder folder;
  folder.write("config.json", bertConfig());
  folder.write("model.safetensors", zeroTensors(bertShapes()));
  folder.write("modules.json", modules);
  folder.write("1_Pooling/config.json", pooling);
  if (!limits.empty())
    folder.write("sentence_bert_config.json", limits);
  return imported(folder);
}

std::string gguf(const std::vector<ByteWriter> &more, const Shapes &shapes = ggufShapes()) {
  ModelFolder folder;
  std::vector<ByteWriter> entries = ggufMetadata();
  entries.insert(entries.end(), more.begin(), more.end());
  folder.write("m.gguf", ggufModel(entries, shapes));
  return imported(folder, "m.gguf");
}

// The naive decoder: cache by concat, heads by reshape and transpose, grouped heads, the names of the
// exports.
TEST(Import, llamaFromFolder) {
  std::string text = hfLlama();
  for (std::string_view part :
       {R"(transom.architecture = "llama")", R"(transom.task = "generate")", "batch = [1, 1]",
        "past = [0, 63]", "seq = [1, 64]", R"(context_length = "64")", R"(eos_token_ids = "2,7")",
        R"(source = "huggingface")",
        R"(tensor<?x?xi32> {transom.dims = ["batch", "past+seq"], transom.name = "attention_mask"})",
        R"(tensor<?x2x?x4xf32> {transom.dims = ["batch", "2", "past", "4"], transom.name = "past.0.value"})",
        R"(tensor<?x?x10xf32> {transom.dims = ["batch", "seq", "10"], transom.name = "logits"})",
        R"({transom.dims = ["batch", "2", "past+seq", "4"], transom.name = "present.0.key"})",
        R"(transom.weight "lm_head.weight")", "causal", "transom.silu"})
    EXPECT_TRUE(has(text, part));
  EXPECT_EQ(count(text, "transom.rotary"), 2u);
  EXPECT_EQ(count(text, "transom.concat"), 2u);
  EXPECT_EQ(count(text, "transom.rms_norm"), 3u);
  EXPECT_EQ(count(text, "interleaved"), 0u);
  EXPECT_EQ(count(text, "transom.matmul"), 8u);
}

// Settings of config.json reach the graph.
TEST(Import, llamaSettings) {
  Shapes tied = llamaShapes();
  tied.erase("lm_head.weight");
  std::string text = hfLlama(R"(, "tie_word_embeddings": true)", tied);
  EXPECT_EQ(count(text, "transom.weight \"model.embed_tokens.weight\""), 1u);
  EXPECT_EQ(count(text, "lm_head"), 0u);

  Shapes biased = llamaShapes();
  for (auto [name, size] : {std::pair("q_proj", 16), {"k_proj", 8}, {"v_proj", 8}, {"o_proj", 8}})
    biased[fmt::format("model.layers.0.self_attn.{}.bias", name)] = {size};
  EXPECT_TRUE(has(hfLlama(R"(, "attention_bias": true)", biased), "self_attn.o_proj.bias"));

  EXPECT_TRUE(has(hfLlama(R"(, "rope_theta": 500000.0)"), "base 5.000000e+05"));
  EXPECT_TRUE(has(hfLlama(R"(, "rope_scaling": {"type": "linear", "factor": 4.0})"), "scale = 2.500000e-01"));
  EXPECT_TRUE(has(hfLlama(R"(, "hidden_act": "gelu_pytorch_tanh")"), "transom.gelu tanh"));
}

// bf16 files stay bf16; what the graph adds or normalises with is converted by an op.
TEST(Import, llamaInBfloat16) {
  std::string text = hfLlama("", llamaShapes(), "BF16", 2);
  EXPECT_TRUE(has(text, "tensor<16x8xbf16>"));
  EXPECT_TRUE(has(text, "to f32"));
  EXPECT_EQ(count(text, "transom.cast"), 3u);
}

// Llama 3.1's frequencies, against transformers' _compute_llama3_parameters for head_dim 8, theta 10000.
TEST(Import, llama3Frequencies) {
  ModelFolder folder;
  Shapes shapes = llamaShapes();
  shapes["model.layers.0.self_attn.q_proj.weight"] = {32, 8};
  shapes["model.layers.0.self_attn.k_proj.weight"] = {16, 8};
  shapes["model.layers.0.self_attn.v_proj.weight"] = {16, 8};
  shapes["model.layers.0.self_attn.o_proj.weight"] = {8, 32};
  folder.write("config.json",
               R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 8, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 10,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                     "original_max_position_embeddings": 1024}})");
  folder.write("model.safetensors", zeroTensors(shapes));
  Result<ImportedModel> model = importModel(folder.path.string(), {}, context());
  ASSERT_TRUE(model.ok()) << model.status().message();
  std::vector<float> divisors;
  model->module->walk([&](RotaryOp op) {
    auto constant = op.getFactors().getDefiningOp<ConstantOp>();
    ASSERT_TRUE(constant);
    auto values = mlir::cast<mlir::DenseElementsAttr>(constant.getValue()).getValues<float>();
    divisors.assign(values.begin(), values.end());
  });
  // Turns of each frequency over 1024 positions: 163, 16.3, 1.63 and 0.163; below 1 divided by 8, above 4
  // kept.
  ASSERT_EQ(divisors.size(), 4u);
  EXPECT_EQ(divisors[0], 1.0f);
  EXPECT_EQ(divisors[1], 1.0f);
  double smooth = (1024 / (2 * M_PI / 0.01) - 1) / (4 - 1);
  EXPECT_NEAR(divisors[2], 0.01 / ((1 - smooth) * 0.01 / 8 + smooth * 0.01), 1e-6);
  EXPECT_EQ(divisors[3], 8.0f);
}

// Bounds follow the options; what the model cannot do is refused.
TEST(Import, options) {
  ModelFolder folder;
  folder.write("config.json", llamaConfig());
  folder.write("model.safetensors", zeroTensors(llamaShapes()));
  ImportOptions options;
  options.maxBatch = 2;
  options.maxSeq = 16;
  options.maxContext = 32;
  std::string text = imported(folder, "", options);
  EXPECT_TRUE(has(text, "transom.bounds = {batch = [1, 2], past = [0, 31], seq = [1, 16]}"));
  options.maxContext = 65;
  EXPECT_EQ(imported(folder, "", options),
            "largest context: expected up to the 64 tokens of the model, found 65");
  options.maxContext = 0;
  options.maxBatch = -1;
  EXPECT_EQ(imported(folder, "", options), "largest batch: expected 1 to 16777216, found -1");
}

// What config.json may not say.
TEST(Import, refusesConfigs) {
  const std::string architectures =
      "LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, GlmForCausalLM, ChatGLMModel, "
      "ChatGLMForConditionalGeneration, GPT2LMHeadModel, BertModel, BertForSequenceClassification, "
      "BertForTokenClassification, BertForMaskedLM, RobertaModel, RobertaForSequenceClassification, "
      "RobertaForTokenClassification, RobertaForMaskedLM, XLMRobertaModel, "
      "XLMRobertaForSequenceClassification, XLMRobertaForTokenClassification, XLMRobertaForMaskedLM, "
      "DistilBertModel, DistilBertForSequenceClassification, DistilBertForTokenClassification, "
      "DistilBertForMaskedLM";
  EXPECT_EQ(
      hfLlama(R"(, "rope_scaling": {"rope_type": "yarn", "factor": 4.0})"),
      "DIR/config.json: rope_scaling: rope_type 'yarn' is not supported; supported: default, linear, llama3");
  EXPECT_EQ(hfLlama(R"(, "hidden_act": "mish")"),
            "DIR/config.json: activation 'mish' is not supported; supported: silu, swish, gelu, "
            "gelu_new, gelu_pytorch_tanh, relu, tanh");
  EXPECT_EQ(hfLlama(R"(, "rms_norm_eps": "small")"),
            "DIR/config.json: field rms_norm_eps: expected a number, found string");
  EXPECT_EQ(hfLlama(R"(, "head_dim": 3)"),
            "DIR/config.json: rotary dimensions: expected an even number up to 3, found 3");
  EXPECT_EQ(hfLlama(R"(, "num_key_value_heads": 3)"),
            "DIR/config.json: 3 key/value heads do not divide 4 heads");
  EXPECT_EQ(hfLlama(R"(, "hidden_size": 1e30)"),
            "DIR/config.json: field hidden_size: expected an integer under 2^63, found number");
  EXPECT_EQ(hfLlama(R"(, "num_hidden_layers": 9223372036854775807)"),
            "DIR/config.json: layers: expected 1 to 4096, found 9223372036854775807");
  EXPECT_EQ(hfLlama(R"(, "quantization_config": {"quant_method": "gptq"})"),
            "DIR/config.json: quantization_config is not supported; supported: plain float weights, or a "
            "GGUF file");
  EXPECT_EQ(hfLlama(R"(, "architectures": ["MambaForCausalLM"])"),
            "DIR/config.json: architecture 'MambaForCausalLM' is not supported; supported: " + architectures);
  EXPECT_EQ(hfLlama(R"(, "architectures": null)"),
            "DIR/config.json: field architectures: expected a list with one of " + architectures);
}

// Tensors must be those of the architecture.
TEST(Import, refusesTensors) {
  Shapes missing = llamaShapes(), wrong = missing, extra = missing;
  missing.erase("model.layers.0.mlp.up_proj.weight");
  EXPECT_EQ(hfLlama("", missing),
            "DIR/config.json: tensor model.layers.0.mlp.up_proj.weight: missing from the model");
  wrong["model.norm.weight"] = {9};
  EXPECT_EQ(hfLlama("", wrong), "DIR/config.json: tensor model.norm.weight: expected shape [8], found [9]");
  extra["model.layers.1.input_layernorm.weight"] = {8};
  EXPECT_TRUE(has(hfLlama("", extra),
                  "DIR/config.json: tensor model.layers.1.input_layernorm.weight: not part of the "
                  "architecture as configured; its tensors: model.embed_tokens"));
  EXPECT_EQ(
      hfLlama("", llamaShapes(), "I32"),
      "DIR/config.json: tensor model.embed_tokens.weight: expected a float or quantised type, found i32");
}

// GGUF: rotary pairs are neighbours, the head is tied, metadata sets sizes and ids.
TEST(Import, llamaFromGguf) {
  std::string text =
      gguf({metadata("llama.rope.freq_base", 5000.0f), metadata("general.name", "Tiny\nModel")});
  for (std::string_view part :
       {R"(transom.architecture = "llama")", R"(transom.model = "Tiny\\x0aModel")", R"(source = "gguf")",
        R"(eos_token_ids = "2")", "base 5.000000e+03", "interleaved"})
    EXPECT_TRUE(has(text, part));
  EXPECT_EQ(count(text, "interleaved"), 2u);
  EXPECT_EQ(count(text, R"(transom.weight "token_embd.weight")"), 1u);

  Shapes untied = ggufShapes();
  untied["output.weight"] = {10, 8};
  untied["rope_freqs.weight"] = {2};
  text = gguf({metadata("llama.rope.scaling.type", "linear"), metadata("llama.rope.scaling.factor", 2.0f)},
              untied);
  EXPECT_TRUE(has(text, R"(transom.weight "output.weight")"));
  EXPECT_TRUE(has(text, "factors"));
  EXPECT_TRUE(has(text, "scale = 5.000000e-01"));
}

// What GGUF metadata may not say.
TEST(Import, refusesGguf) {
  ModelFolder folder;
  folder.write("m.gguf", ggufModel({metadata("general.architecture", "gemma2")}, {}));
  EXPECT_EQ(imported(folder, "m.gguf"),
            "DIR/m.gguf: architecture 'gemma2' is not supported in GGUF files; supported: llama");
  EXPECT_EQ(gguf({metadata("llama.rope.scaling.type", "yarn")}),
            "DIR/m.gguf: llama.rope.scaling.type 'yarn' is not supported; supported: none, linear");
  EXPECT_EQ(gguf({metadata("llama.expert_count", 8u)}),
            "DIR/m.gguf: llama.expert_count 8: mixtures of experts are not supported");
  EXPECT_EQ(gguf({metadata("llama.vocab_size", 11u)}),
            "DIR/m.gguf: tensor token_embd.weight: expected shape [11, 8], found [10, 8]");
  Shapes extra = ggufShapes();
  extra["blk.0.attn_q_norm.weight"] = {4};
  EXPECT_TRUE(
      has(gguf({}, extra), "DIR/m.gguf: tensor blk.0.attn_q_norm.weight: not part of the architecture"));
}

// BertModel alone gives token vectors, and the pooler's where the file has one.
TEST(Import, bertFromFolder) {
  std::string text = hfBert();
  for (std::string_view part :
       {R"(transom.architecture = "bert")", R"(transom.task = "run")", "seq = [1, 32]", "transom.gelu erf",
        R"({transom.dims = ["batch", "seq", "8"], transom.name = "last_hidden_state"})", "transom.iota"})
    EXPECT_TRUE(has(text, part));
  EXPECT_EQ(count(text, "sentence_embedding"), 0u);
  EXPECT_TRUE(has(text, R"({transom.dims = ["batch", "8"], transom.name = "pooler_output"})"));
  EXPECT_EQ(count(text, "transom.layer_norm"), 3u);
  EXPECT_EQ(count(text, "causal"), 0u);
  EXPECT_EQ(hfBert(R"(, "position_embedding_type": "relative_key")"),
            R"(DIR/config.json: field position_embedding_type: expected "absolute", found "relative_key")");
  EXPECT_EQ(hfBert(R"(, "is_decoder": true)"), "DIR/config.json: field is_decoder: expected false, found true");
}

// Pooling and normalisation follow the folder's own files.
TEST(Import, sentenceModels) {
  std::string text =
      sentenceModel(sentenceModules, R"({"pooling_mode_mean_tokens": true})", R"({"max_seq_length": 20})");
  for (std::string_view part : {R"(transom.task = "embed")", "seq = [1, 20]", R"(max_sequence_length = "20")",
                                R"(pooling = "mean")", R"(normalize = "true")", R"(embedding_dim = "8")",
                                R"({transom.dims = ["batch", "8"], transom.name = "sentence_embedding"})"})
    EXPECT_TRUE(has(text, part));
  text = sentenceModel(sentenceModules,
                       R"({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false})");
  EXPECT_TRUE(has(text, "transom.slice"));
  EXPECT_TRUE(has(text, R"(pooling = "cls")"));
  EXPECT_TRUE(
      has(sentenceModel(sentenceModules, R"({"pooling_mode_max_tokens": true})"), "transom.reduce max"));
  EXPECT_TRUE(has(sentenceModel(sentenceModules, R"({"pooling_mode_mean_sqrt_len_tokens": true})"),
                  R"(pooling = "mean_sqrt_len")"));
}

// Modules, modes and paths that are not supported.
TEST(Import, refusesSentenceModels) {
  EXPECT_TRUE(has(sentenceModel(sentenceModules, R"({"pooling_mode_lasttoken": true})"),
                  "DIR/1_Pooling/config.json: pooling_mode_lasttoken is not supported; supported: "
                  "pooling_mode_mean_tokens"));
  EXPECT_TRUE(has(
      sentenceModel(sentenceModules, R"({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true})"),
      "DIR/1_Pooling/config.json: expected one pooling mode, found 2"));
  auto module = [](std::string_view type, std::string_view path) {
    return fmt::format(R"([{{"path": "{}", "type": "sentence_transformers.models.{}"}}])", path, type);
  };
  EXPECT_EQ(sentenceModel(module("Dense", ""), "{}"),
            "DIR/modules.json: module 0: module 'sentence_transformers.models.Dense' is not supported here; "
            "supported: "
            "Transformer, then Pooling, then Normalize");
  EXPECT_EQ(sentenceModel(module("Transformer", "../../etc"), "{}"),
            "DIR/modules.json: module 0: path '../../etc': expected a plain folder name");
  EXPECT_EQ(sentenceModel("{}", "{}"), "DIR/modules.json: expected a list of modules");
}

constexpr std::string_view graphText = R"mlir(
module attributes {transom.bounds = {batch = [1, 4]}} {
  func.func @main(%x: tensor<?x3xf32> {transom.name = "x", transom.dims = ["batch", "3"]})
      -> (tensor<?x2xf32> {transom.name = "y", transom.dims = ["batch", "2"]}) {
    %w = transom.weight "w" : tensor<2x3xf32>
    %y = transom.matmul %x, %w transpose_rhs : (tensor<?x3xf32>, tensor<2x3xf32>) -> tensor<?x2xf32>
    return %y : tensor<?x2xf32>
  }
}
)mlir";

// Graphs as text, with weights beside them or named.
TEST(Import, mlirFiles) {
  ModelFolder folder;
  folder.write("g.mlir", graphText);
  EXPECT_EQ(imported(folder, "g.mlir"),
            "DIR/g.mlir: tensor w: the graph has weights, but no .safetensors or .gguf file "
            "of its name lies beside it");
  folder.write("g.safetensors", zeroTensors({{"w", {2, 3}}}));
  std::string text = imported(folder, "g.mlir");
  EXPECT_TRUE(has(text, R"(transom.task = "run")"));
  EXPECT_TRUE(has(text, R"(transom.model = "g")"));
  ImportOptions options;
  options.weights = (folder.path / "other.safetensors").string();
  folder.write("other.safetensors", zeroTensors({{"w", {3, 2}}}));
  EXPECT_EQ(imported(folder, "g.mlir", options),
            "DIR/g.mlir: tensor w: expected f32 [2, 3], found f32 [3, 2] in DIR/other.safetensors");
  folder.write("other.safetensors", zeroTensors({{"v", {3, 2}}}));
  EXPECT_EQ(imported(folder, "g.mlir", options), "DIR/g.mlir: tensor w: missing from DIR/other.safetensors");
}

// Errors of the text carry line and column; hostile text does not reach the parser's recursion.
TEST(Import, refusesMlirFiles) {
  ModelFolder folder;
  folder.write("g.mlir", "module {\n  func.func @main() { transom.nonsense }\n}\n");
  EXPECT_TRUE(has(imported(folder, "g.mlir"), "DIR/g.mlir:2:"));
  folder.write("g.mlir", "module attributes {a = " + std::string(100'000, '[') + "} {}");
  EXPECT_EQ(imported(folder, "g.mlir"), "DIR/g.mlir: brackets nest deeper than 128");
  folder.write("g.mlir", std::string_view("ML\xefR\0\0\0", 7));
  EXPECT_EQ(imported(folder, "g.mlir"), "DIR/g.mlir: expected text, found binary data");
}

// Paths that are no model.
TEST(Import, refusesPaths) {
  ModelFolder folder;
  EXPECT_EQ(imported(folder, "absent"), "DIR/absent: no such file or folder");
  EXPECT_EQ(imported(folder), "DIR/config.json: cannot open: No such file or directory");
  folder.write("notes.txt", "hello");
  EXPECT_EQ(imported(folder, "notes.txt"),
            "DIR/notes.txt: unknown kind of model; supported: a Hugging Face folder, a "
            "GGUF file, an .mlir file");
  folder.write("empty.gguf", "");
  EXPECT_EQ(imported(folder, "empty.gguf"), "DIR/empty.gguf: the file is empty");
  folder.write("w.safetensors", zeroTensors({{"w", {1}}}));
  EXPECT_EQ(imported(folder, "w.safetensors"),
            "DIR/w.safetensors: weights alone make no model; give the folder with its config.json");
}

} // namespace
