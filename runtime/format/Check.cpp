// Everything about an artifact's header that can be wrong without looking at the sections.
#include "runtime/format/Artifact.h"
#include "runtime/format/KernelAbi.h"

#include <algorithm>
#include <unordered_set>

namespace transom::artifact {

namespace {

constexpr size_t maxRank = 8;
/// Scratch is allocated per thread on the file's word, so it has a limit of its own.
constexpr uint64_t maxScratch = uint64_t(1) << 32;

template <typename... Args> Status invalid(fmt::format_string<Args...> format, Args &&...args) {
  return error(StatusCode::invalidFile, format, std::forward<Args>(args)...);
}

/// Names go into messages, which are one line.
Status checkText(std::string_view text, std::string_view what) {
  bool control = std::any_of(text.begin(), text.end(), [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; });
  return control ? invalid("{}: a control character", what) : Status();
}

template <typename Range> Status checkNames(const Range &range, std::string_view what) {
  std::unordered_set<std::string_view> seen;
  for (const auto &item : range) {
    TRANSOM_RETURN_IF_ERROR(checkText(item.name, fmt::format("{} {}: name", what, seen.size())));
    if (item.name.empty())
      return invalid("{} {}: its name is empty", what, seen.size());
    if (!seen.insert(item.name).second)
      return invalid("{} \"{}\": the name appears twice", what, item.name);
  }
  return {};
}

/// Checks of the parts of one program. Remembers which symbols its sizes use, and which of them have a value.
class ProgramChecker {
public:
  ProgramChecker(const Contents &contents, const Program &program)
      : contents_(contents), program_(program), used_(contents.symbols.size()), known_(contents.symbols.size()) {}
  Status run() const {
    TRANSOM_RETURN_IF_ERROR(checkNames(program_.inputs, "input"));
    TRANSOM_RETURN_IF_ERROR(checkNames(program_.outputs, "output"));
    for (const Value &value : program_.inputs)
      TRANSOM_RETURN_IF_ERROR(checkValue(value, BufferKind::input, program_.inputs).within("input " + value.name));
    for (const Value &value : program_.outputs)
      TRANSOM_RETURN_IF_ERROR(checkValue(value, BufferKind::output, program_.outputs).within("output " + value.name));
    for (size_t i = 0; i < program_.buffers.size(); ++i)
      TRANSOM_RETURN_IF_ERROR(checkBuffer(program_.buffers[i]).within(fmt::format("buffer {}", i)));
    for (const Value &value : program_.inputs)
      for (const Expr &dim : value.shape)
        if (dim.asSymbol() >= 0)
          known_[static_cast<size_t>(dim.asSymbol())] = true;
    for (size_t i = 0; i < program_.steps.size(); ++i) {
      TRANSOM_RETURN_IF_ERROR(checkText(program_.steps[i].source, fmt::format("step {}: source", i)));
      Status status = std::visit([&](const auto &step) { return checkStep(step); }, program_.steps[i].kind);
      TRANSOM_RETURN_IF_ERROR(status.within(fmt::format("step {} ({})", i, program_.steps[i].source)));
    }
    return checkBinding();
  }

  /// The dtype and shape of a value or buffer, and that `bytes` is what they take, up to padding.
  Status checkTensor(DType dtype, const Shape &shape, uint64_t bytes) const {
    if (!isDType(static_cast<uint8_t>(dtype)))
      return invalid("dtype: {} is none this version knows", static_cast<int>(dtype));
    if (shape.size() > maxRank)
      return invalid("shape: rank {}, more than {}", shape.size(), maxRank);
    for (const Expr &dim : shape)
      TRANSOM_RETURN_IF_ERROR(checkExpr(dim, "shape"));
    CheckedSize need = bytesAtBounds(dtype, shape, contents_.symbols), padded = need.alignedTo(bufferAlignment);
    if (!padded.valid())
      return invalid("shape: {} of {} has no valid size at the bounds", toString(shape, contents_.symbols), name(dtype));
    if (bytes < need.value() || bytes > padded.value())
      return invalid("bytes: expected {} for {} of {}, found {}", need.value(), toString(shape, contents_.symbols),
                     name(dtype), bytes);
    return {};
  }

private:
  Status checkExpr(const Expr &expr, std::string_view field, uint64_t limit = INT64_MAX) const {
    for (const Term &term : expr.terms)
      for (uint16_t symbol : term.symbols) {
        if (symbol >= used_.size())
          return invalid("{}: symbol {} of {}", field, symbol, used_.size());
        used_[symbol] = true;
      }
    if (!upperBound(expr, contents_.symbols).fits(limit))
      return invalid("{}: {} is too large at the bounds", field, toString(expr, contents_.symbols));
    return {};
  }

  Status checkValue(const Value &value, BufferKind kind, const std::vector<Value> &table) const {
    TRANSOM_RETURN_IF_ERROR(checkTensor(value.dtype, value.shape, value.bytes));
    if (value.buffer >= program_.buffers.size())
      return invalid("buffer: {} of {}", value.buffer, program_.buffers.size());
    const Buffer &buffer = program_.buffers[value.buffer];
    if (buffer.kind != kind || buffer.index != static_cast<uint64_t>(&value - table.data()))
      return invalid("buffer: {} is not the storage of this {}", value.buffer, name(kind));
    return {};
  }

  Status checkBuffer(const Buffer &buffer) const {
    if (buffer.kind > BufferKind::state)
      return invalid("kind: {} is none this version knows", static_cast<int>(buffer.kind));
    TRANSOM_RETURN_IF_ERROR(checkTensor(buffer.dtype, buffer.shape, buffer.bytes));
    if (buffer.kind == BufferKind::arena) {
      CheckedSize end = CheckedSize(buffer.offset) + CheckedSize(buffer.bytes);
      if (buffer.offset % bufferAlignment != 0)
        return invalid("offset: {} is not a multiple of {}", buffer.offset, bufferAlignment);
      if (!end.fits(program_.arenaBytes))
        return invalid("offset: {} and {} bytes pass the arena's end at {}", buffer.offset, buffer.bytes,
                       program_.arenaBytes);
      return buffer.index == 0 ? Status() : invalid("index: expected 0 in the arena, found {}", buffer.index);
    }
    if (buffer.offset != 0)
      return invalid("offset: expected 0 outside the arena, found {}", buffer.offset);
    return checkStorage(buffer);
  }

  /// That a buffer outside the arena fits the weight, input, output or state it stands for.
  Status checkStorage(const Buffer &buffer) const {
    auto sizeOf = [&](const auto &table, auto bytesOf) -> Status {
      if (buffer.index >= table.size())
        return invalid("index: {} {} of {}", name(buffer.kind), buffer.index, table.size());
      uint64_t have = bytesOf(table[buffer.index]);
      if (!CheckedSize(buffer.bytes).fits(CheckedSize(have).alignedTo(bufferAlignment).value()))
        return invalid("bytes: {}, but {} \"{}\" has {}", buffer.bytes, name(buffer.kind), table[buffer.index].name,
                       have);
      return {};
    };
    auto ownBytes = [](const auto &item) { return item.bytes; };
    switch (buffer.kind) {
    case BufferKind::weight:
      return sizeOf(contents_.weights,
                    [](const Weight &weight) { return bytesFor(weight.dtype, weight.shape).value(); });
    case BufferKind::input:
      return sizeOf(program_.inputs, ownBytes);
    case BufferKind::output:
      return sizeOf(program_.outputs, ownBytes);
    default:
      return sizeOf(contents_.states, ownBytes);
    }
  }

  Status checkKernel(uint64_t kernel, std::string_view field) const {
    if (contents_.code.empty())
      return invalid("{}: the artifact has no code", field);
    for (const Code &code : contents_.code)
      if (kernel >= code.kernels.size())
        return invalid("{}: {} of the {} in code {}", field, kernel, code.kernels.size(), code.target);
    return {};
  }

  Status checkBufferIndex(uint32_t index, std::string_view field) const {
    if (index >= program_.buffers.size())
      return invalid("{}: {} of {}", field, index, program_.buffers.size());
    return {};
  }

  /// That the work of a step does not depend on a symbol that a later step sets.
  Status checkWork(const Expr &expr, std::string_view field, uint64_t limit = INT64_MAX) const {
    TRANSOM_RETURN_IF_ERROR(checkExpr(expr, field, limit));
    for (const Term &term : expr.terms)
      for (uint16_t symbol : term.symbols)
        if (!known_[symbol])
          return invalid("{}: symbol \"{}\" has no value yet: it is no dimension of an input, and no step before this one sets it",
                         field, contents_.symbols[symbol].name);
    return {};
  }

  Status checkStep(const Size &size) const {
    if (size.symbol >= known_.size())
      return invalid("symbol: {} of {}", size.symbol, known_.size());
    if (known_[size.symbol])
      return invalid("symbol: \"{}\" has a value", contents_.symbols[size.symbol].name);
    TRANSOM_RETURN_IF_ERROR(checkBufferIndex(size.buffer, "buffer"));
    const Buffer &buffer = program_.buffers[size.buffer];
    if (buffer.dtype != DType::i32 || buffer.shape.size() != 1)
      return invalid("buffer: expected i32 of rank 1, found {} of {}", toString(buffer.shape, contents_.symbols),
                     name(buffer.dtype));
    TRANSOM_RETURN_IF_ERROR(checkWork(buffer.shape[0], "buffer"));
    known_[size.symbol] = true;
    return {};
  }

  Status checkStep(const Launch &launch) const {
    TRANSOM_RETURN_IF_ERROR(checkKernel(launch.kernel, "kernel"));
    if (launch.buffers.empty())
      return invalid("buffers: none");
    for (uint32_t index : launch.buffers)
      TRANSOM_RETURN_IF_ERROR(checkBufferIndex(index, "buffers"));
    for (const Expr &size : launch.sizes)
      TRANSOM_RETURN_IF_ERROR(checkExpr(size, "sizes"));
    TRANSOM_RETURN_IF_ERROR(checkWork(launch.work, "work"));
    if (launch.grain == 0)
      return invalid("grain: expected at least 1, found 0");
    if (launch.scratch > maxScratch)
      return invalid("scratch: {} bytes, more than {}", launch.scratch, maxScratch);
    return {};
  }

  Status checkMatrix(uint32_t index, std::string_view field, const Expr &rows, const Expr &columns) const {
    TRANSOM_RETURN_IF_ERROR(checkBufferIndex(index, field));
    const Buffer &buffer = program_.buffers[index];
    CheckedSize need = bytesAtBounds(buffer.dtype, {rows, columns}, contents_.symbols);
    if (!need.fits(buffer.bytes))
      return invalid("{}: {} bytes do not hold {} of {}", field, buffer.bytes,
                     toString(Shape{rows, columns}, contents_.symbols), name(buffer.dtype));
    return {};
  }

  Status checkStep(const Gemm &gemm) const {
    // The GEMM library counts in 32 bits.
    TRANSOM_RETURN_IF_ERROR(checkWork(gemm.m, "m", INT32_MAX));
    TRANSOM_RETURN_IF_ERROR(checkWork(gemm.n, "n", INT32_MAX));
    TRANSOM_RETURN_IF_ERROR(checkWork(gemm.k, "k", INT32_MAX));
    TRANSOM_RETURN_IF_ERROR(checkMatrix(gemm.lhs, "lhs", gemm.m, gemm.k));
    TRANSOM_RETURN_IF_ERROR(checkMatrix(gemm.rhs, "rhs", gemm.n, gemm.k));
    TRANSOM_RETURN_IF_ERROR(checkMatrix(gemm.out, "out", gemm.m, gemm.n));
    const Buffer &out = program_.buffers[gemm.out];
    if (program_.buffers[gemm.lhs].dtype != DType::f32 || out.dtype != DType::f32)
      return invalid("lhs and out: expected f32");
    if (out.kind == BufferKind::weight || out.kind == BufferKind::input)
      return invalid("out: a {} is not written", name(out.kind));
    if (gemm.unpack >= 0)
      return checkKernel(static_cast<uint64_t>(gemm.unpack), "unpack");
    if (gemm.unpack != -1 || program_.buffers[gemm.rhs].dtype != DType::f32)
      return invalid("unpack: expected a kernel for rhs of {}, found {}", name(program_.buffers[gemm.rhs].dtype),
                     gemm.unpack);
    return {};
  }

  /// A run takes the symbols from its inputs' shapes and its steps: each one used must be a whole dimension of some input,
  /// or set.
  Status checkBinding() const {
    for (size_t i = 0; i < used_.size(); ++i)
      if (used_[i] && !known_[i])
        return invalid("symbol \"{}\" is used but is no dimension of an input", contents_.symbols[i].name);
    return {};
  }

  const Contents &contents_;
  const Program &program_;
  mutable std::vector<bool> used_, known_;
};

Status checkSymbols(const Contents &contents) {
  if (contents.symbols.size() > UINT16_MAX)
    return invalid("symbols: {}, more than {}", contents.symbols.size(), UINT16_MAX);
  for (const Symbol &symbol : contents.symbols)
    if (symbol.min < 0 || symbol.max < symbol.min || symbol.max > INT32_MAX)
      return invalid("symbol \"{}\": the bounds [{}, {}] are not sizes", symbol.name, symbol.min, symbol.max);
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
  TRANSOM_RETURN_IF_ERROR(checkNames(contents.programs, "program"));
  TRANSOM_RETURN_IF_ERROR(checkNames(contents.states, "state"));
  TRANSOM_RETURN_IF_ERROR(checkNames(contents.weights, "weight"));
  TRANSOM_RETURN_IF_ERROR(checkSymbols(contents));
  TRANSOM_RETURN_IF_ERROR(checkCode(contents));
  TRANSOM_RETURN_IF_ERROR(checkMetadata(contents));
  TRANSOM_RETURN_IF_ERROR(checkWeights(contents));
  TRANSOM_RETURN_IF_ERROR(checkStates(contents));
  for (const Program &program : contents.programs)
    TRANSOM_RETURN_IF_ERROR(ProgramChecker(contents, program).run().within("program " + program.name));
  return {};
}

} // namespace transom::artifact
