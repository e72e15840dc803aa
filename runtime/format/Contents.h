// What an artifact says, as plain values: the C++ mirror of artifact.fbs that the writer takes and the reader gives.
// No bytes of weights or code here, only where they lie.
#pragma once

#include "runtime/format/DType.h"
#include "runtime/support/Checked.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace transom::artifact {

struct Symbol {
  std::string name;
  int64_t min = 0, max = 0; ///< inclusive; 0 <= min <= max
  bool operator==(const Symbol &) const = default;
};

struct Term {
  int64_t coefficient = 0;
  std::vector<uint16_t> symbols; ///< indices into Contents::symbols; a repeated one is a power
  bool operator==(const Term &) const = default;
};

/// A size: the sum of coefficient * product(symbols). No terms is zero.
struct Expr {
  std::vector<Term> terms;
  bool operator==(const Expr &) const = default;

  static Expr constant(int64_t value) { return {{{value, {}}}}; }
  static Expr symbol(uint16_t index) { return {{{1, {index}}}}; }
  bool isConstant() const;
  /// The symbol this is, alone and with coefficient 1; -1 for anything else.
  int32_t asSymbol() const;
};
using Shape = std::vector<Expr>;

/// The value where `values` holds one number per symbol. The reader has shown that it cannot overflow in the bounds.
int64_t evaluate(const Expr &expr, std::span<const int64_t> values);
/// The largest value within the symbols' bounds, or more (each term is bounded alone); invalid on overflow.
CheckedSize upperBound(const Expr &expr, std::span<const Symbol> symbols);
/// Bytes of a dense tensor at the bounds; invalid on overflow or where the block format does not divide the last dim.
CheckedSize bytesAtBounds(DType dtype, const Shape &shape, std::span<const Symbol> symbols);
/// "batch*seq", "past+seq", "64".
std::string toString(const Expr &expr, std::span<const Symbol> symbols);
/// "[batch, 3, past+seq]".
std::string toString(const Shape &shape, std::span<const Symbol> symbols);

enum class BufferKind : uint8_t { arena, weight, input, output, state };
std::string_view name(BufferKind kind);

struct Buffer {
  BufferKind kind = BufferKind::arena;
  uint32_t index = 0;  ///< into weights, inputs, outputs or states, by kind; arena: 0
  uint64_t offset = 0; ///< arena: bytes from its start, a multiple of bufferAlignment; others: 0
  DType dtype = DType::f32;
  Shape shape;
  uint64_t bytes = 0; ///< at the bounds
};

struct Launch {
  uint32_t kernel = 0;
  std::vector<uint32_t> buffers; ///< operands, then results
  std::vector<Expr> sizes;       ///< see KernelAbi.h
  Expr work;
  uint32_t grain = 1;
  uint64_t scratch = 0; ///< bytes per thread
};

/// out[m, n] = lhs[m, k] * rhs[n, k]^T
struct Gemm {
  uint32_t lhs = 0, rhs = 0, out = 0;
  Expr m, n, k;
  int32_t unpack = -1;
  int32_t epilogue = -1; ///< a kernel over the product's rows; -1: none, then all below is empty
  std::vector<uint32_t> extras, results;
  std::vector<Expr> sizes;
  uint64_t scratch = 0; ///< bytes per thread
};

/// From here on the symbol is the last number of the buffer; until then it counts at its bound.
struct Size {
  uint16_t symbol = 0;
  uint32_t buffer = 0;
};

struct Step {
  std::variant<Launch, Gemm, Size> kind;
  std::string source; ///< the op or layer this came from, for people
};

struct Value {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  uint64_t bytes = 0; ///< at the bounds
  uint32_t buffer = 0;
};

struct Program {
  std::string name;
  std::vector<Value> inputs, outputs;
  std::vector<Buffer> buffers;
  std::vector<Step> steps;
  uint64_t arenaBytes = 0;
};

struct State {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  uint64_t bytes = 0;
};

/// Where a section lies in the file. The writer fills it in.
struct Section {
  uint64_t offset = 0, bytes = 0, checksum = 0;
};

struct Weight {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  Section section;
};

struct Code {
  std::string target; ///< "cpu:x86-64-v4"
  std::vector<std::string> features, kernels;
  Section section;
};

struct Metadata {
  std::string key, value;
};

struct Contents {
  std::string producer, model, architecture, task;
  std::vector<Symbol> symbols;
  std::vector<Program> programs;
  std::vector<State> states;
  std::vector<Weight> weights;
  std::vector<Code> code;
  std::vector<uint8_t> tokenizer; ///< empty: none
  std::vector<Metadata> metadata; ///< sorted by key
  std::string plan;
  std::vector<std::string> kernelText;

  /// Null where there is none of that name.
  const Program *findProgram(std::string_view name) const;
  const std::string *findMetadata(std::string_view key) const;
};

} // namespace transom::artifact
