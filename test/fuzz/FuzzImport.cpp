// Fuzzes the importers end to end: mutated GGUF files, config.json, modules.json and .mlir text must give a
// module or a one-line error.
#include "compiler/import/Import.h"
#include "test/fuzz/Fuzz.h"
#include "test/unit/TinyModels.h"

#include "mlir/IR/MLIRContext.h"

#include <cstdio>

using namespace transom;
using namespace transom::test;

namespace {

/// Imports `path` after each mutation of the file `name` in `folder`.
void fuzzFile(const ModelFolder &folder, std::string_view name, const std::filesystem::path &path,
              const Bytes &seed) {
  size_t accepted = 0, refused = 0;
  // Types and attributes live as long as their context: a fresh one now and then bounds memory.
  std::unique_ptr<mlir::MLIRContext> context;
  fuzz::forEachMutation(seed, 0, [&](const Bytes &bytes) {
    if ((accepted + refused) % 500 == 0)
      context = std::make_unique<mlir::MLIRContext>(mlir::MLIRContext::Threading::DISABLED);
    folder.write(name, bytes);
    Result<ImportedModel> model = importModel(path.string(), {}, *context);
    ++(model.ok() ? accepted : refused);
    if (model.status().message().find('\n') != std::string::npos ||
        model.status().code() == StatusCode::internal) {
      std::fprintf(stderr, "bad error: %s\n", model.status().message().c_str());
      std::abort();
    }
  });
  folder.write(name, seed);
  std::printf("%.*s: %zu accepted, %zu refused\n", static_cast<int>(name.size()), name.data(), accepted,
              refused);
}

Bytes bytesOf(std::string_view text) { return ByteWriter().raw(text).bytes; }

void fuzzFolder(const std::string &config, const Shapes &shapes, std::string_view modules) {
  ModelFolder folder;
  folder.write("config.json", config);
  folder.write("model.safetensors", zeroTensors(shapes));
  folder.write("1_Pooling/config.json", R"({"pooling_mode_mean_tokens": true})");
  if (!modules.empty())
    folder.write("modules.json", modules);
  fuzzFile(folder, "config.json", folder.path, bytesOf(config));
  if (!modules.empty())
    fuzzFile(folder, "modules.json", folder.path, bytesOf(modules));
}

constexpr std::string_view graph = R"mlir(module attributes {transom.bounds = {batch = [1, 4]}} {
  func.func @main(%x: tensor<?x32xf32> {transom.name = "x", transom.dims = ["batch", "32"]})
      -> (tensor<?x2xf32> {transom.name = "y", transom.dims = ["batch", "2"]}) {
    %w = transom.weight "w" : tensor<2x32xf32>
    %c = transom.constant dense<[1.0, 2.0]> : tensor<2xf32>
    %s = transom.slice %x axis 1 start 0 size 32 : (tensor<?x32xf32>) -> tensor<?x32xf32>
    %r = transom.reshape %s [0, 4, 8] : (tensor<?x32xf32>) -> tensor<?x4x8xf32>
    %t = transom.transpose %r [0, 2, 1] : (tensor<?x4x8xf32>) -> tensor<?x8x4xf32>
    %u = transom.reshape %t [0, -1] : (tensor<?x8x4xf32>) -> tensor<?x32xf32>
    %q = transom.quantize %u to q8_0 : (tensor<?x32xf32>) -> tensor<?x32x!transom.block<q8_0>>
    %d = transom.dequantize %q to f32 : (tensor<?x32x!transom.block<q8_0>>) -> tensor<?x32xf32>
    %y = transom.matmul %d, %w transpose_rhs : (tensor<?x32xf32>, tensor<2x32xf32>) -> tensor<?x2xf32>
    %f = transom.fused (%y, %c) {
    ^bb0(%a: f32, %b: f32):
      %0 = arith.addf %a, %b : f32
      transom.yield %0 : f32
    } : (tensor<?x2xf32>, tensor<2xf32>) -> tensor<?x2xf32>
    return %f : tensor<?x2xf32>
  }
}
)mlir";

} // namespace

int main() {
  ModelFolder gguf;
  Bytes file = ggufModel(ggufMetadata(), ggufShapes());
  gguf.write("m.gguf", file);
  fuzzFile(gguf, "m.gguf", gguf.path / "m.gguf", file);
  fuzzFolder(llamaConfig(R"(, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,)"
                         R"( "high_freq_factor": 4.0, "original_max_position_embeddings": 1024})"),
             llamaShapes(), "");
  fuzzFolder(bertConfig(), bertShapes(),
             R"([{"path": "", "type": "sentence_transformers.models.Transformer"},)"
             R"({"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])");
  ModelFolder text;
  text.write("g.safetensors", zeroTensors({{"w", {2, 32}}}));
  fuzzFile(text, "g.mlir", text.path / "g.mlir", bytesOf(graph));
  return 0;
}
