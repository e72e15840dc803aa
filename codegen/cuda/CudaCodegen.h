// CUDA code for a plan: every step becomes launches of generated kernels and products of cuBLASLt. The kernels are CUDA C++
// text over the library in kernels/; nothing is compiled here.
#pragma once

#include "ir/DimExpr.h"
#include "runtime/format/Contents.h"

#include "mlir/IR/BuiltinOps.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace transom {

/// Memory of a CUDA step: a buffer or view of the plan, a weight in a form of its own, or memory that no plan buffer stands for.
struct CudaBuffer {
  enum class Kind {
    plan,      ///< `value`
    weight,    ///< `index` into CudaCode::weights
    scratch,   ///< `bytes` at `offset` behind the program's arena, for the steps of one plan step
    workspace, ///< `bytes` at `offset` of the program's workspace: zero before each step and after it
    input,     ///< `index` into CudaProgram::inputs
    output,    ///< `index` into CudaProgram::outputs
  };
  Kind kind = Kind::plan;
  mlir::Value value;
  size_t index = 0;
  int64_t offset = 0, bytes = 0;
  DType dtype = DType::u8; ///< of all but plan buffers, with
  Dims shape;
  bool operator==(const CudaBuffer &other) const {
    return kind == other.kind && value == other.value && index == other.index && offset == other.offset && dtype == other.dtype;
  }
};

struct CudaChoicePlan {
  int64_t most = INT64_MAX;
  size_t kernel = 0; ///< into CudaCode::kernels
  llvm::SmallVector<DimExpr, 3> grid;
  std::vector<uint32_t> per = {}; ///< what each is divided by, rounded up; empty: 1
  uint32_t sm = 0;
};
struct CudaMapPlan {
  CudaBuffer buffer;
  Dims sizes, strides;
  std::vector<uint32_t> box;
};
/// See artifact::CudaLaunch.
struct CudaLaunchPlan {
  std::vector<CudaChoicePlan> choices;
  DimExpr rows = 1;
  std::vector<CudaBuffer> buffers;
  std::vector<CudaMapPlan> maps;
  std::optional<CudaBuffer> workspace;
  artifact::CudaCondition when;
};
/// See artifact::CudaGemm.
struct CudaGemmPlan {
  CudaBuffer lhs, rhs, out;
  DimExpr m, n, k;
  bool tf32 = false, oneAlgorithm = false;
  artifact::CudaCondition when;
};
/// A size that a step finds, and how the host finds it first. See artifact::Size.
struct CudaSizePlan {
  std::string name;
  mlir::Value buffer;
  artifact::SizeSource from = artifact::SizeSource::sum;
  std::string input; ///< of the program
  DimExpr limit;
};
struct CudaStepPlan {
  std::variant<CudaLaunchPlan, CudaGemmPlan, CudaSizePlan> kind;
  std::string source;
};

/// An input or output that the plan's program does not have.
struct CudaValue {
  std::string name;
  DType dtype;
  Dims shape;
};
struct CudaProgram {
  mlir::Operation *plan; ///< plan.program
  std::string name;
  std::vector<CudaValue> inputs, outputs; ///< behind the plan's; `keepsOutputs` false: instead of the plan's outputs
  bool keepsOutputs = true;
  std::vector<CudaStepPlan> steps;
  int64_t scratchBytes = 0, workspaceBytes = 0;
};

/// A weight of the plan in the form that kernels read.
struct CudaWeight {
  enum class Form {
    converted, ///< each number in `dtype`
    planes,    ///< runtime/format/Planes.h
  };
  std::string name, source; ///< its own, and the plan's
  Form form;
  DType dtype;
  std::vector<int64_t> shape;
};

/// What code does without so that a row's results do not depend on other rows: steps that have fewer forms than they would have.
struct CudaForfeits {
  size_t fewRows = 0;   ///< products of few rows with the kernel for the most rows only
  size_t toLibrary = 0; ///< products whose few rows go to cuBLASLt as the many do
  size_t library = 0;   ///< products with one algorithm of cuBLASLt, which splits no sum, at every number of rows
  size_t tiles = 0;     ///< products by Hopper's own kernel below a full tile of rows too
  size_t attention = 0; ///< attention without caches that does without Hopper's kernel
  size_t choices = 0;   ///< choices of one token of each packed row behind all that computes the tokens
};

struct CudaCode {
  std::vector<artifact::CudaKernel> kernels;
  std::vector<artifact::CudaHeader> headers; ///< those that the kernels include
  std::vector<CudaProgram> programs;
  std::vector<CudaWeight> weights;
  CudaForfeits forfeits; ///< all 0 unless batchInvariant
};

/// Who computes products of many rows on compute capability 9.0: cuBLASLt; generated kernels from 128 rows on; these where a product
/// has a tile for each multiprocessor, and cuBLASLt below.
enum class ProductKernels { library, own, wide };

struct CudaOptions {
  bool tf32 = false; ///< products of f32 may round their operands
  ProductKernels products = ProductKernels::library;
  bool batchInvariant = false; ///< each sum in an order that depends on neither the number of rows nor on what other rows hold
};

/// Generates code for all programs of `plan`, whose buffers say how numbers are stored; for decoders also a program `step`
/// (docs/artifact.md). The same plan gives the same text. Fails, after a diagnostic, on a kernel that has no CUDA form, naming the
/// op and what it lacks.
mlir::FailureOr<CudaCode> generateCuda(mlir::ModuleOp plan, const CudaOptions &options);

/// The kernels' text, each behind a line with its name, block and shared memory, and the steps of each program. For tests. Fails as
/// generateCuda does.
mlir::FailureOr<std::string> printCuda(mlir::ModuleOp plan, const CudaOptions &options);

} // namespace transom
