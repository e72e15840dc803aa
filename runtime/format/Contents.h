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
  std::vector<int64_t> buckets = {}; ///< sizes that GPUs make graphs for, rising up to max; empty: the runtime's own
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

enum class Device : uint8_t { cpu, cuda };
std::string_view name(Device device);

enum class BufferKind : uint8_t { arena, weight, input, output, state, workspace };
std::string_view name(BufferKind kind);

struct Buffer {
  BufferKind kind = BufferKind::arena;
  uint32_t index = 0;  ///< into weights, inputs, outputs or states, by kind; arena and workspace: 0
  uint64_t offset = 0; ///< arena and workspace: bytes from its start, a multiple of bufferAlignment; others: 0
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

enum class SizeSource : uint8_t { steps, sum, nonzero };

/// From here on the symbol is the last number of the buffer; until then it counts at its bound.
struct Size {
  uint16_t symbol = 0;
  uint32_t buffer = 0;
  SizeSource from = SizeSource::steps; ///< CUDA: how the host finds it before the run; see artifact.fbs
  uint32_t input = 0;                  ///< of the program, for sum and nonzero
  Expr limit;                          ///< for sum
};

/// A kernel for launches of at most `most` rows, on devices of compute capability `sm` (90: 9.0), or all if 0.
struct CudaChoice {
  int64_t most = INT64_MAX;
  uint32_t kernel = 0;    ///< into Contents::cudaKernels
  std::vector<Expr> grid; ///< one to three dimensions; evaluated at the bounds of a bucket
  std::vector<uint32_t> per = {}; ///< what they are divided by, rounded up; empty: 1
  uint32_t sm = 0;
};
/// Blocks in dimension `axis` of a choice's grid, where `grid[axis]` has this value.
inline int64_t blocksOf(const CudaChoice &choice, size_t axis, int64_t value) {
  return choice.per.empty() ? value : (value + choice.per[axis] - 1) / choice.per[axis];
}

enum class Architectures : uint8_t { all, hopper, others };
/// When a step of a CUDA program does anything: with these rows, on these devices. Elsewhere other steps compute the same.
struct CudaCondition {
  int64_t least = 0, most = INT64_MAX;
  Architectures architectures = Architectures::all; ///< hopper: compute capability 9.0
  bool runsOn(uint32_t sm) const { return architectures == Architectures::all || (architectures == Architectures::hopper) == (sm == 90); }
  bool holds(int64_t rows, uint32_t sm) const { return rows >= least && rows <= most && runsOn(sm); }
};

/// A CUtensorMap of a buffer of 16-bit numbers, or of 8 bits; rows of a box are 128 bytes, swizzled, or 64, not swizzled. Innermost dimension first.
struct TensorMap {
  uint32_t buffer = 0;
  std::vector<Expr> sizes, strides; ///< elements; the innermost dimension has no stride
  std::vector<uint32_t> box;
};

struct CudaLaunch {
  std::vector<CudaChoice> choices; ///< `most` never falls; the first that suffices and that the device can run is taken
  Expr rows;
  std::vector<uint32_t> buffers; ///< operands, then results
  std::vector<TensorMap> maps;
  int32_t workspace = -1; ///< a buffer; -1: the kernel has no such parameter
  bool dependent = false; ///< launched before what precedes it is done; the kernel waits by itself
  CudaCondition when;
};

enum class GemmCompute : uint8_t { f32, tf32 };
enum class GemmActivation : uint8_t { none, relu, geluTanh };

/// out[m, n] = activation(lhs[m, k] * rhs[n, k]^T + bias[n]) + residual[m, n], by cuBLASLt
struct CudaGemm {
  uint32_t lhs = 0, rhs = 0, out = 0;
  Expr m, n, k;
  GemmCompute compute = GemmCompute::f32;
  int32_t bias = -1, residual = -1; ///< buffers; -1: none. A residual excludes an activation, and may be `out`
  GemmActivation activation = GemmActivation::none;
  uint64_t workspace = 0;         ///< bytes the library may use
  std::vector<uint8_t> algorithm; ///< empty: the library chooses; or a cublasLtMatmulAlgo_t
  bool oneAlgorithm = false; ///< the same algorithm at every m, which splits no sum; then `workspace` is 0
  CudaCondition when; ///< its rows are m
};

struct Step {
  std::variant<Launch, Gemm, Size, CudaLaunch, CudaGemm> kind;
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
  Device device = Device::cpu;
  uint64_t workspaceBytes = 0; ///< CUDA only
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
  std::string target; ///< "cpu:x86-64-v4", "cuda:sm_90a"
  std::vector<std::string> features;
  std::vector<std::string> kernels; ///< CPU: symbol of kernel i; CUDA: names of cudaKernels
  Section section;
  bool isFor(Device device) const { return target.starts_with(device == Device::cuda ? "cuda:" : "cpu:"); }
};

/// Text that kernels' sources include by its name.
struct CudaHeader {
  std::string name, text;
};

struct CudaKernel {
  std::string name;   ///< an extern "C" entry
  std::string source; ///< CUDA C++ that compiles with Contents::cudaHeaders alone
  std::vector<uint32_t> block; ///< one to three dimensions
  uint32_t sharedBytes = 0;    ///< dynamic
  uint32_t maxRegisters = 0;   ///< 0: no limit
  uint32_t stays = 0;          ///< blocks of a cluster, where no more of these are launched than run at once; 0: as many as the grid has
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
  std::vector<CudaKernel> cudaKernels;
  std::vector<CudaHeader> cudaHeaders;

  /// Null where there is none of that name.
  const Program *findProgram(std::string_view name, Device device = Device::cpu) const;
  bool runsOn(Device device) const;
  const std::string *findMetadata(std::string_view key) const;
};

} // namespace transom::artifact
