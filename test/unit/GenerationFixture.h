// Artifacts of toy models for the generation loop, for embedding and for classification. The toy decoder's next token is the sum of all
// tokens of its row so far, modulo 16; token 0 ends the text.
#pragma once

#include "ArtifactFixture.h"

#include "runtime/tokenizer/Spec.h"

#include <cstring>

namespace transom::test {

/// Token i is the letter 'a' + i, but token 0, which is special; "é" is the tokens 14 and 15.
inline tokenizer::TokenizerSpec letterSpec() {
  tokenizer::TokenizerSpec spec;
  spec.vocab.push_back("<end>");
  for (char letter = 'b'; letter < 'o'; ++letter)
    spec.vocab.push_back(std::string(1, letter));
  spec.vocab.insert(spec.vocab.end(), {"Ã", "©"});
  spec.addedTokens.push_back({.content = "<end>", .id = 0, .special = true});
  spec.single = {{}};
  spec.pair = {{}, {.kind = tokenizer::PieceKind::sequenceB, .typeId = 1}};
  spec.preTokenizers.push_back({.kind = tokenizer::PreTokenizerKind::byteLevel});
  spec.decoders.push_back({.kind = tokenizer::DecoderKind::byteLevel});
  return spec;
}

inline std::vector<uint8_t> stored(const tokenizer::TokenizerSpec &spec) {
  std::vector<std::byte> bytes = tokenizer::serialize(spec);
  std::vector<uint8_t> out(bytes.size());
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

inline constexpr int64_t toyContext = 32, toyChunk = 5, toyBatch = 3;

/// Programs prefill and decode with a cache of 32 tokens per row.
inline ArtifactBuilder cachedToy() {
  using namespace artifact;
  ArtifactBuilder b("generate");
  Expr batch = b.symbol("batch", 1, toyBatch), seq = b.symbol("seq", 1, toyChunk);
  Expr one = Expr::constant(1), vocab = Expr::constant(16), capacity = Expr::constant(toyContext);
  uint32_t state = b.state("cache.0.key", DType::i32, {batch, one, capacity, one});
  for (bool decode : {false, true}) {
    Program &p = b.program(decode ? "decode" : "prefill");
    const Expr &width = decode ? one : seq;
    uint32_t ids = b.value(p, BufferKind::input, "input_ids", DType::i32, {batch, width});
    uint32_t lengths = b.value(p, BufferKind::input, "lengths", DType::i32, {batch});
    uint32_t past = b.value(p, BufferKind::input, "past_lengths", DType::i32, {batch});
    uint32_t cache = b.buffer(p, BufferKind::state, state, DType::i32, {batch, one, capacity, one});
    uint32_t sum = b.buffer(p, BufferKind::arena, 0, DType::i32, {batch});
    uint32_t logits = b.value(p, BufferKind::output, "logits", DType::f32, {batch, vocab});
    p.steps.push_back({Launch{sumTokens, {ids, lengths, past, cache, sum}, {batch, width}, batch, 1, 0}, "sum"});
    p.steps.push_back({Launch{oneHotLogits, {sum, logits}, {batch, batch}, batch, 1, 0}, "logits"});
  }
  b.contents.metadata = {{"context_length", "32"}, {"eos_token_ids", "0"}};
  b.contents.tokenizer = stored(letterSpec());
  return b;
}

/// The same model as program main with past and present tensors.
inline ArtifactBuilder naiveToy() {
  using namespace artifact;
  ArtifactBuilder b("generate");
  Expr batch = b.symbol("batch", 1, toyBatch), seq = b.symbol("seq", 1, toyChunk), past = b.symbol("past", 0, 40);
  Expr one = Expr::constant(1), vocab = Expr::constant(16), total = ArtifactBuilder::plus(past, seq);
  Program &p = b.program("main");
  uint32_t ids = b.value(p, BufferKind::input, "input_ids", DType::i32, {batch, seq});
  uint32_t mask = b.value(p, BufferKind::input, "attention_mask", DType::i32, {batch, total});
  uint32_t positions = b.value(p, BufferKind::input, "position_ids", DType::i32, {batch, seq});
  uint32_t pastKey = b.value(p, BufferKind::input, "past.0.key", DType::f32, {batch, one, past, one});
  uint32_t logits = b.value(p, BufferKind::output, "logits", DType::f32, {batch, seq, vocab});
  uint32_t present = b.value(p, BufferKind::output, "present.0.key", DType::f32, {batch, one, total, one});
  p.steps.push_back(
      {Launch{naiveStep, {ids, mask, positions, pastKey, present, logits}, {batch, seq, total}, batch, 1, 0}, "step"});
  b.contents.metadata = {{"eos_token_ids", "0"}};
  b.contents.tokenizer = stored(letterSpec());
  return b;
}

/// The vector of a text is (mean of its ids, number of its ids).
inline ArtifactBuilder embeddingToy() {
  using namespace artifact;
  ArtifactBuilder b("embed");
  Expr batch = b.symbol("batch", 1, 4), seq = b.symbol("seq", 1, 12);
  Program &p = b.program("main");
  uint32_t ids = b.value(p, BufferKind::input, "input_ids", DType::i32, {batch, seq});
  uint32_t mask = b.value(p, BufferKind::input, "attention_mask", DType::i32, {batch, seq});
  uint32_t out = b.value(p, BufferKind::output, "sentence_embedding", DType::f32, {batch, Expr::constant(2)});
  p.steps.push_back({Launch{meanEmbed, {ids, mask, out}, {batch, seq}, batch, 1, 0}, "mean"});
  b.contents.metadata = {{"max_sequence_length", "10"}};
  b.contents.tokenizer = stored(letterSpec());
  return b;
}

/// An encoder with a head, 16 labels or words; those of sequences are the two that embeddingToy computes. Token 0 is the mask, and
/// stands between the texts of a pair.
inline ArtifactBuilder classifierToy(const std::string &head) {
  using namespace artifact;
  ArtifactBuilder b;
  bool sequence = head == "sequence_classification";
  Expr batch = b.symbol("batch", 1, 4), seq = b.symbol("seq", 1, 12);
  Program &p = b.program("main");
  uint32_t ids = b.value(p, BufferKind::input, "input_ids", DType::i32, {batch, seq});
  uint32_t mask = b.value(p, BufferKind::input, "attention_mask", DType::i32, {batch, seq});
  Shape shape = sequence ? Shape{batch, Expr::constant(2)} : Shape{batch, seq, Expr::constant(16)};
  uint32_t out = b.value(p, BufferKind::output, "logits", DType::f32, shape);
  p.steps.push_back({Launch{sequence ? meanEmbed : tokenLogits, {ids, mask, out}, {batch, seq}, batch, 1, 0}, "head"});
  std::string labels;
  for (int i = 0; i < 16; ++i)
    labels += fmt::format("{}\"L{}\"", i ? "," : "", i);
  b.contents.metadata = {{"head", head}, {"labels", sequence ? R"(["mean","count"])" : "[" + labels + "]"}, {"max_sequence_length", "10"}};
  tokenizer::TokenizerSpec spec = letterSpec();
  spec.maskId = 0;
  spec.pair.insert(spec.pair.begin() + 1, {.kind = tokenizer::PieceKind::special, .id = 0});
  b.contents.tokenizer = stored(spec);
  return b;
}

/// What the toy decoder says to a prompt.
inline std::vector<int32_t> toyAnswer(const std::vector<int32_t> &prompt, int64_t maxNewTokens, bool ignoreEos = false) {
  int64_t sum = 0;
  for (int32_t token : prompt)
    sum += token;
  std::vector<int32_t> tokens;
  while (std::ssize(tokens) < maxNewTokens && (tokens.empty() || tokens.back() != 0 || ignoreEos)) {
    tokens.push_back(static_cast<int32_t>(sum % 16));
    sum += tokens.back();
  }
  return tokens;
}

} // namespace transom::test
