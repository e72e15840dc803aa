// The pipeline components of tokenizer.json (normalizer, pre_tokenizer, post_processor, decoder) to spec steps.
#pragma once

#include "runtime/tokenizer/JsonReader.h"
#include "runtime/tokenizer/Spec.h"

namespace transom::tokenizer {

/// Each reads the component, which may be null for none; errors stay in the reader.
void readNormalizer(JsonReader &reader, const Json &component, std::vector<NormalizerStep> &out);
void readPreTokenizer(JsonReader &reader, const Json &component, std::vector<PreTokenizerStep> &out);
void readDecoder(JsonReader &reader, const Json &component, std::vector<DecoderStep> &out);
/// Sets the templates of the spec, also where there is no post-processor.
void readPostProcessor(JsonReader &reader, const Json &component, TokenizerSpec &spec);

} // namespace transom::tokenizer
