// What sentence-transformers puts behind an encoder, from its own files: modules.json, a Pooling module's
// config.json, Normalize. Only what turns token vectors into one vector; no Dense or other trained modules.
#pragma once

#include "compiler/import/GraphBuilder.h"
#include "compiler/import/Importers.h"

namespace transom {

enum class Pooling { none, mean, meanSqrtLength, cls, max };

struct SentenceConfig {
  std::string encoderFolder;        ///< the folder with the encoder's config.json
  Pooling pooling = Pooling::none;  ///< none: the folder is no sentence-transformers model
  bool normalize = false;           ///< to Euclidean length 1
  bool lowercase = false;           ///< texts are lowercased before the tokenizer sees them
  std::optional<int64_t> maxTokens; ///< longer texts are cut
};

/// Reads `folder`'s modules.json and what it names; a folder without one gives defaults. Errors: invalidFile;
/// unsupported (names the module or mode and lists what is supported).
Result<SentenceConfig> readSentenceConfig(const std::string &folder);

std::string_view name(Pooling pooling);

/// One vector a row from token vectors [batch, seq, width] and the mask [batch, seq] i32 of valid tokens.
mlir::Value pool(GraphBuilder &graph, Pooling pooling, mlir::Value tokens, mlir::Value mask, int64_t width);
/// Each vector divided by its length (by 1e-12 where that is larger).
mlir::Value normalizeRows(GraphBuilder &graph, mlir::Value vectors);

} // namespace transom
