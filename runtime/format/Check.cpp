// Everything about an artifact's header that can be wrong without looking at the sections.
#include "runtime/format/CheckProgram.h"

#include <algorithm>
#include <functional>

namespace transom::artifact {

Status checkText(std::string_view text, std::string_view what) {
  bool control = std::any_of(text.begin(), text.end(), [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; });
  return control ? invalid("{}: a control character", what) : Status();
}

namespace {

struct Named {
  std::string_view name;
};

/// A name may stand for a program of each device.
Status checkProgramNames(const Contents &contents, Device device) {
  std::vector<Named> names;
  for (const Program &program : contents.programs)
    if (program.device == device)
      names.push_back({program.name});
  return checkNames(names, "program");
}

Status checkSymbols(const Contents &contents) {
  if (contents.symbols.size() > UINT16_MAX)
    return invalid("symbols: {}, more than {}", contents.symbols.size(), UINT16_MAX);
  for (const Symbol &symbol : contents.symbols) {
    if (symbol.min < 0 || symbol.max < symbol.min || symbol.max > INT32_MAX)
      return invalid("symbol \"{}\": the bounds [{}, {}] are not sizes", symbol.name, symbol.min, symbol.max);
    const std::vector<int64_t> &buckets = symbol.buckets;
    bool rise = std::adjacent_find(buckets.begin(), buckets.end(), std::greater_equal()) == buckets.end();
    if (!buckets.empty() && (!rise || buckets.front() < 1 || buckets.back() != symbol.max))
      return invalid("symbol \"{}\": buckets: expected sizes that rise from 1 or more to {}, found {}", symbol.name, symbol.max,
                     fmt::join(buckets, ", "));
  }
  return {};
}

Status checkWeights(const Contents &contents) {
  for (const Weight &weight : contents.weights) {
    if (!isDType(static_cast<uint8_t>(weight.dtype)))
      return invalid("weight {}: dtype: {} is none this version knows", weight.name, static_cast<int>(weight.dtype));
    if (weight.shape.size() > maxRank || !bytesFor(weight.dtype, weight.shape).fits(INT64_MAX))
      return invalid("weight {}: shape: {} of {} has no valid size", weight.name, fmt::join(weight.shape, "x"),
                     name(weight.dtype));
  }
  return {};
}

Status checkStates(const Contents &contents) {
  // A state belongs to no program: its size may use symbols that no input binds, as it is allocated at the bounds.
  Program none;
  ProgramChecker checker(contents, none);
  for (const State &state : contents.states)
    TRANSOM_RETURN_IF_ERROR(checker.checkTensor(state.dtype, state.shape, state.bytes).within("state " + state.name));
  return {};
}

Status checkCode(const Contents &contents) {
  for (const Code &code : contents.code) {
    TRANSOM_RETURN_IF_ERROR(checkText(code.target, "code: target"));
    for (const auto *names : {&code.features, &code.kernels})
      for (const std::string &name : *names)
        TRANSOM_RETURN_IF_ERROR(checkText(name, "code " + code.target));
  }
  return {};
}

Status checkMetadata(const Contents &contents) {
  auto after = [](const Metadata &a, const Metadata &b) { return a.key >= b.key; };
  if (std::adjacent_find(contents.metadata.begin(), contents.metadata.end(), after) != contents.metadata.end())
    return invalid("metadata: the keys are not sorted, or one appears twice");
  return {};
}

} // namespace

Status check(const Contents &contents) {
  TRANSOM_RETURN_IF_ERROR(checkText(contents.task, "task"));
  TRANSOM_RETURN_IF_ERROR(checkText(contents.architecture, "architecture"));
  for (const Metadata &entry : contents.metadata)
    TRANSOM_RETURN_IF_ERROR(checkText(entry.key, "metadata: key"));
  if (contents.programs.empty())
    return invalid("programs: expected at least one, found none");
  if (contents.task != "generate" && contents.task != "embed" && contents.task != "run")
    return invalid("task: expected generate, embed or run, found \"{}\"", contents.task);
  TRANSOM_RETURN_IF_ERROR(checkNames(contents.symbols, "symbol"));
  for (Device device : {Device::cpu, Device::cuda})
    TRANSOM_RETURN_IF_ERROR(checkProgramNames(contents, device));
  TRANSOM_RETURN_IF_ERROR(checkNames(contents.states, "state"));
  TRANSOM_RETURN_IF_ERROR(checkNames(contents.weights, "weight"));
  TRANSOM_RETURN_IF_ERROR(checkSymbols(contents));
  TRANSOM_RETURN_IF_ERROR(checkCode(contents));
  TRANSOM_RETURN_IF_ERROR(checkCudaKernels(contents));
  TRANSOM_RETURN_IF_ERROR(checkMetadata(contents));
  TRANSOM_RETURN_IF_ERROR(checkWeights(contents));
  TRANSOM_RETURN_IF_ERROR(checkStates(contents));
  for (const Program &program : contents.programs)
    TRANSOM_RETURN_IF_ERROR(ProgramChecker(contents, program).run().within("program " + program.name));
  return {};
}

} // namespace transom::artifact
