// What the importers of Hugging Face's encoders share: which head an architecture has, and its labels.
#pragma once

#include "compiler/import/EncoderGraph.h"

namespace transom {

/// The heads of a family of classes, "XForSequenceClassification" and so on; "XModel" has none.
struct HfHeads {
  EncoderHead sequence, token, words;
};

/// Fills in what follows from the folder's architecture: the head and its labels, and `prefix` where the
/// file's names have it, as those of a checkpoint with a head do. Needs `out.names`.
Status readHfHead(const HfFolder &folder, std::string_view prefix, const HfHeads &heads, EncoderConfig &out);

/// BERT's names, which RoBERTa took over.
extern const EncoderNames hfBertNames;

/// The settings that BERT and RoBERTa spell alike, without positions.
Status readHfEncoder(const JsonObject &config, EncoderConfig &out);

} // namespace transom
