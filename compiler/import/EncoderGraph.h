// The graph of BERT-like encoders (Devlin et al., BERT, 2018) and their heads, for every architecture that is
// one with other names or settings: learned positions, norms behind each half of a layer.
#pragma once

#include "compiler/import/SentencePooling.h"

namespace transom {

/// Names of tensors in the file behind the prefix. "{}" stands for the layer's number; ".weight" and ".bias"
/// are added. Empty: the architecture has none.
struct EncoderNames {
  std::string words, positions, types, embeddingNorm, query, key, value, attentionOutput, attentionNorm, up,
      down, outputNorm, pooler;
};

/// What stands behind the encoder, in this order; empty names are left out. Full names, without the prefix.
struct EncoderHead {
  enum class Kind {
    hidden,   ///< nothing: hidden states, and the pooler or a sentence vector
    sequence, ///< a score for each label of a row, from its first token
    token,    ///< a score for each label of a token
    words     ///< a score for each word of the vocabulary of a token
  };
  Kind kind = Kind::hidden;
  std::string dense; ///< a projection of hidden states, then `activation`, then the norm
  std::string activation;
  std::string norm;
  std::string output;     ///< the projection to scores; for words its weight may be the embedding table
  std::string outputBias; ///< the whole name of its bias
};

enum class Positions {
  byPlace, ///< 0, 1, 2, ...
  byMask   ///< the count of valid tokens so far plus `padding`; of padding `padding` itself
};

struct EncoderConfig {
  std::string where; ///< the file, opens errors
  std::string architecture;
  int64_t layers = 0, hidden = 0, heads = 0, feedForward = 0, vocab = 0, positions = 0;
  int64_t types = 0; ///< kinds of token; 1: all are of it, and there is no such input
  double epsilon = 0;
  std::string activation;
  Positions rule = Positions::byPlace;
  int64_t padding = 0;
  EncoderNames names;
  std::string prefix; ///< of the encoder's tensors: "bert." where a head lies beside it
  EncoderHead head;
  bool tiedHead = false;           ///< scores of words come from the embedding table
  std::vector<std::string> labels; ///< names of what sequence and token heads score
  std::string scoreFunction;       ///< of a sequence head: "softmax", "sigmoid" or "none"
  /// Accepts tensors, by their whole names, that the graph has no use for.
  bool (*ignored)(llvm::StringRef name) = [](llvm::StringRef) { return false; };
};

/// Tokens that a row can have.
int64_t longestRow(const EncoderConfig &config);

/// Reads the files of sentence-transformers too, where the folder has them and the head is `hidden`.
Result<mlir::OwningOpRef<mlir::ModuleOp>> buildEncoder(const EncoderConfig &config, const HfFolder &folder,
                                                       const ImportOptions &options,
                                                       mlir::MLIRContext &context);

} // namespace transom
