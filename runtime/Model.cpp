// See Model.h.
#include "runtime/Model.h"

#include <algorithm>
#include <charconv>

namespace transom {

namespace {

Result<tokenizer::Tokenizer> loadTokenizer(const std::vector<uint8_t> &bytes) {
  TRANSOM_ASSIGN(tokenizer::TokenizerSpec spec, tokenizer::deserialize(std::as_bytes(std::span(bytes))));
  return tokenizer::Tokenizer::create(std::move(spec));
}

} // namespace

Result<std::shared_ptr<const Model>> Model::load(const std::string &path) {
  TRANSOM_ASSIGN(Artifact artifact, Artifact::open(path));
  Result<LoadedCode> code = LoadedCode::load(artifact);
  if (!code.ok())
    return code.status().within(path);
  std::shared_ptr<Model> model(new Model(std::move(artifact), std::move(*code)));
  for (const artifact::Program &program : model->contents().programs)
    for (const artifact::Step &step : program.steps)
      if (std::holds_alternative<artifact::Gemm>(step.kind) && !model->gemm_) {
        Result<const GemmLibrary *> library = GemmLibrary::get();
        if (!library.ok())
          return library.status().within(path);
        model->gemm_ = *library;
      }
  if (const std::vector<uint8_t> &bytes = model->contents().tokenizer; !bytes.empty()) {
    Result<tokenizer::Tokenizer> loaded = loadTokenizer(bytes);
    if (!loaded.ok())
      return loaded.status().within(path + ": tokenizer");
    model->tokenizer_ = std::move(*loaded);
  }
  return std::shared_ptr<const Model>(std::move(model));
}

static GemmBounds boundsOf(const artifact::Contents &contents, const artifact::Gemm &gemm) {
  auto bound = [&](const artifact::Expr &size) { return upperBound(size, contents.symbols).value(); };
  return {bound(gemm.n), bound(gemm.k), gemm.unpack >= 0, gemm.epilogue >= 0, gemm.scratch};
}

static uint64_t scratchPerThreadOf(const artifact::Contents &contents) {
  uint64_t bytes = 0;
  for (const artifact::Program &program : contents.programs)
    for (const artifact::Step &step : program.steps) {
      if (auto *launch = std::get_if<artifact::Launch>(&step.kind))
        bytes = std::max(bytes, launch->scratch);
      else if (auto *gemm = std::get_if<artifact::Gemm>(&step.kind))
        bytes = std::max(bytes, gemmScratch(boundsOf(contents, *gemm)));
    }
  return CheckedSize(bytes).alignedTo(sectionAlignment).value();
}

uint64_t Model::scratchPerThread() const { return scratchPerThreadOf(contents()); }

MemoryPlan memoryPlanOf(const artifact::Contents &contents, uint32_t threads) {
  MemoryPlan plan;
  auto padded = [](uint64_t bytes) { return CheckedSize(bytes).alignedTo(bufferAlignment).value(); };
  for (const artifact::Weight &weight : contents.weights)
    plan.weights += weight.section.bytes;
  for (const artifact::State &state : contents.states)
    plan.states += padded(state.bytes);
  for (const artifact::Program &program : contents.programs) {
    if (program.device != artifact::Device::cpu)
      continue;
    plan.arena = std::max(plan.arena, program.arenaBytes);
    for (const auto *values : {&program.inputs, &program.outputs})
      for (const artifact::Value &value : *values)
        plan.staging += padded(value.bytes);
  }
  plan.scratch = scratchPerThreadOf(contents) * threads;
  return plan;
}

Result<size_t> Model::programIndex(std::string_view name) const {
  const auto &programs = contents().programs;
  std::vector<std::string_view> names;
  for (size_t i = 0; i < programs.size(); ++i) {
    if (programs[i].device != artifact::Device::cpu)
      continue;
    if (programs[i].name == name)
      return i;
    names.push_back(programs[i].name);
  }
  return error(StatusCode::notFound, "no program \"{}\"; the artifact has {}", name, fmt::join(names, ", "));
}

std::optional<int64_t> Model::metadataNumber(std::string_view key) const {
  const std::string *text = contents().findMetadata(key);
  return text ? parseNumber(*text) : std::nullopt;
}

std::optional<int64_t> parseNumber(std::string_view text) {
  int64_t value = 0;
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failed == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

} // namespace transom
