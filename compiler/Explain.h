// What the compiler makes of a model, and why: all of it but code. Plain values, free of MLIR; ExplainPrint.h shows them.
#pragma once

#include "compiler/Compile.h"

#include <map>
#include <optional>

namespace transom {

struct Explanation {
  /// A named size: its bounds, and the value that `typical` figures are for.
  struct Size {
    std::string name;
    int64_t min = 0, max = 0, typical = 0;
  };
  /// "import" before any pass, then every pass in order.
  struct Stage {
    std::string name;
    bool run = false; ///< false: it was disabled
    double seconds = 0;
    std::vector<std::string> promises;  ///< checked: what holds of every op after it, or has a reason
    std::map<std::string, int64_t> ops; ///< how many are left, by name; of plans the ops of programs
  };
  enum class Kind { applied, rejected };
  /// Rewrites that happened, or did not, for one reason; they differ in the layer only.
  struct Finding {
    Kind kind = Kind::applied;
    std::string pass, op;
    std::string condition; ///< "F1"; empty where the text has no number
    std::string text;      ///< what was done; or what would have had to hold, and what was found
    std::string layers;    ///< "layers.*.attention": their common name
    std::vector<std::string> where; ///< each layer, or file:line:column, once
    int64_t places = 0;    ///< how often in all, several times in a layer counted
    /// Saved, or lost, in each run at the bounds, of all places together: an estimate.
    std::optional<int64_t> bytes, launches;
  };
  /// An op of a graph. Weights and constants are no ops of their own.
  struct GraphOp {
    std::string op, layer;
    std::string result;              ///< "[batch, seq, 576] f32"
    std::vector<uint32_t> reads;     ///< ops of the same function
    std::vector<std::string> others; ///< names of arguments and weights it reads
  };
  struct Function {
    std::string name;
    std::vector<GraphOp> ops;
  };
  struct Cost {
    double bytes = 0, operations = 0;
  };
  struct Step {
    std::string kernel; ///< or "product"; of steps that run nothing, such as "size", the op
    std::string layer;
    Cost atBounds, typical;
  };
  /// A piece of the arena and the steps between which it is in use, both included.
  struct Buffer {
    std::string name; ///< of the step that writes it first
    int64_t offset = 0, bytes = 0, first = 0, last = 0;
  };
  /// Layers that look alike: "layers.*", 30 of them, 14 steps in each.
  struct LayerLoad {
    std::string layers;
    int64_t count = 0;
    int64_t fewest = 0, most = 0; ///< device operations of one
  };
  struct Program {
    std::string name;
    int64_t arenaBytes = 0, stagingBytes = 0, stateBytes = 0, weightBytes = 0;
    int64_t kernels = 0, launches = 0, products = 0; ///< as CompileReport::Program
    std::vector<LayerLoad> layers; ///< in the order they run; "" for what lies outside
    std::vector<Step> steps;
    std::vector<Buffer> buffers;
  };

  std::string model, architecture, task;
  double seconds = 0;
  std::vector<Size> sizes;
  std::vector<Stage> stages;
  std::vector<Finding> applied;  ///< in the order they happened
  std::vector<Finding> rejected; ///< the most expensive first, unknown costs last
  std::vector<Function> before, after; ///< the imported graph, and the last one before the plan
  std::vector<Program> programs;
};

struct ExplainOptions {
  CompilerOptions compiler;
  /// Values of sizes for typical figures. The others: batch 1 for decoders and 8 for encoders, seq and past 128, tokens
  /// half of batch * seq, all kept within their bounds.
  std::map<std::string, int64_t> typical;
};

/// Runs the passes on the model at `input` and keeps what they say. Generates no code and writes nothing.
/// Errors: those of compileModel up to code generation; invalidArgument for a typical size that the model has not, or that
/// is out of its bounds.
TRANSOM_COMPILER_API Result<Explanation> explainModel(const std::string &input, const ExplainOptions &options);

} // namespace transom
