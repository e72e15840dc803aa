// One CUDA kernel under construction: its parameters, the sizes it computes, its body as text.
#pragma once

#include "codegen/TensorBytes.h"
#include "codegen/cuda/CudaCodegen.h"
#include "ir/Plan.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

#include <set>

namespace transom::cuda {

/// The C++ type of numbers in memory: "float", "Half", "BFloat", "int", "int64", "uint8" for i1 and i8, "double".
std::string memoryType(DType dtype);
/// The C++ type in which scalar code computes: "float" for all floats but f64, "bool", "int", "int64".
std::string computeType(mlir::Type element);
/// A float constant that reads back as the same number.
std::string floatText(double value);

class KernelText;

/// Dynamic shared memory that a block may have on compute capability 7.5: 64 KiB less room for static variables. Later devices have 99 KiB
/// and more, so a kernel that takes more than this has another beside it, a choice for 7.5 alone.
constexpr uint32_t sharedOf75 = 63 * 1024;

/// All kernels of a module, each distinct text once.
class KernelPool {
public:
  explicit KernelPool(mlir::ModuleOp module);
  /// The index of the kernel; a new one gets `name`, with a number behind it if that is taken.
  size_t add(llvm::StringRef name, const KernelText &text, std::vector<uint32_t> block, uint32_t sharedBytes);
  uint32_t sharedBytes(size_t kernel) const { return kernels[kernel].sharedBytes; }
  std::vector<artifact::CudaKernel> take() { return std::move(kernels); }
  const std::set<std::string> &headers() const { return usedHeaders; }
  /// C++ for a size, over the table of symbols.
  std::string sizeText(const DimExpr &size) const;

private:
  llvm::StringMap<unsigned> symbols;
  std::vector<artifact::CudaKernel> kernels;
  llvm::StringMap<size_t> byText;
  std::set<std::string> taken, usedHeaders;
};

/// Builds the text between the braces of one entry.
class KernelText {
public:
  explicit KernelText(const KernelPool &pool) : pool(&pool) {}

  /// The name of the parameter that points to `buffer`; a new one is added behind the others. `type`: of the numbers there.
  std::string pointer(const CudaBuffer &buffer, bool written = false);
  /// The same for a buffer of the plan.
  std::string pointer(mlir::Value buffer, bool written = false);
  std::string workspace(const CudaBuffer &buffer, llvm::StringRef type);
  std::string map(CudaMapPlan plan);
  std::string size(const DimExpr &size) const { return pool->sizeText(size); }
  /// A name that the kernel does not have yet.
  std::string fresh(llvm::StringRef stem) { return (stem + llvm::Twine(count++)).str(); }
  /// How many names there are; and that those since then may be given again: what had them is out of scope.
  unsigned names() const { return count; }
  void reuseNames(unsigned from) { count = from; }
  void include(llvm::StringRef header) { headers.insert(header.str()); }

  /// Lines of the body, each indented by `depth`.
  void line(const llvm::Twine &text) { body += std::string(2 * size_t(depth), ' ') + text.str() + "\n"; }
  void open(const llvm::Twine &text) { line(text + " {"), ++depth; }
  void close(llvm::StringRef behind = "") { --depth, line("}" + behind); }
  /// Blocks come in clusters of so many in x, from 9.0 on.
  void inClusters(int64_t blocks);
  /// Leaves the body to devices before 8.0; for all others it is empty.
  void onlyFor75() { body = "#if __CUDA_ARCH__ < 800\n" + body + "#endif\n"; }

  /// Declarations before the entry: tables, epilogues.
  std::string preamble;
  std::string body;
  int depth = 1;
  std::string launchBounds = "256", attributes;
  uint32_t cluster = 1; ///< blocks
  bool stays = false;   ///< no more blocks are launched than run at once, as they stay until all is done

  std::vector<CudaBuffer> buffers;
  std::vector<CudaMapPlan> maps;
  std::optional<CudaBuffer> work;
  std::set<std::string> headers;
  const std::string &type(size_t buffer) const { return types[buffer]; }
  /// A struct of all buffers, the sizes and the live rows: its fields, and their values in an entry that has a variable `rows`.
  std::string structFields() const;
  std::string structValues() const;
  /// The whole source of a kernel called `name`.
  std::string source(llvm::StringRef name) const;

private:
  const KernelPool *pool;
  std::vector<std::string> types;
  std::string workType;
  unsigned count = 0;
};

/// The element type of a CUDA buffer in memory.
DType storedType(const CudaBuffer &buffer);
/// Whether no step writes the buffer: kernels may read it before they wait for others.
bool isConstant(const CudaBuffer &buffer);
using transom::storedType;
Dims sizesOf(const CudaBuffer &buffer);

} // namespace transom::cuda
