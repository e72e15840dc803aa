// What a naive graph computes, and whether another form of it computes the same: on padded batches and on rows alone, and,
// where the other form has caches, on prompts in one or more parts with tokens one by one behind them.
#pragma once

#include "compiler/interpreter/Interpreter.h"
#include "test/random/Compare.h"
#include "test/random/Weights.h"

namespace transom::random {

/// Runs one entry function of a module.
using Runner = std::function<Result<Tensors>(mlir::func::FuncOp function, Tensors inputs)>;

class Reference {
public:
  /// `naive` and `weights` outlive it. All of `seed` follows: batches, paddings, steps.
  Reference(mlir::ModuleOp naive, const WeightFile &weights, uint64_t seed);

  /// Runs the naive graph; an error is one of the generator.
  Status prepare();
  /// How `module` differs, or fails to run; nothing if it does not.
  std::optional<std::string> check(mlir::ModuleOp module, const Runner &run, double tolerance);
  /// The interpreter in fp64.
  std::optional<std::string> check(mlir::ModuleOp module);
  /// Whether a row of the naive graph's batches depends on other rows or on padding.
  std::optional<std::string> checkRowsAlone();

  interpreter::Interpreter machine;

private:
  struct Case {
    Batch batch;
    Tensors expected;
    std::vector<std::vector<bool>> defined;
  };
  struct Row {
    int64_t past = 0;
    std::map<std::string, interpreter::Tensor> caches; ///< naive past tensors by name
    std::map<std::string, interpreter::Tensor> fixed;  ///< inputs that are the same at each step
  };
  struct Step {
    bool decode = false;
    std::vector<int64_t> lengths;                                        ///< of each row
    std::vector<int64_t> past;                                           ///< before the step
    std::vector<std::map<std::string, std::vector<int64_t>>> tokens;     ///< of each row, by argument
    std::vector<std::map<std::string, interpreter::Tensor>> results;     ///< naive ones of each row; none without tokens
  };
  Status addCase(Batch batch);
  Status prepareSession();
  Status runRow(Row &row, const std::map<std::string, std::vector<int64_t>> &tokens, int64_t count,
                std::map<std::string, interpreter::Tensor> &results);
  std::optional<std::string> checkMain(mlir::func::FuncOp main, const Runner &run, double tolerance);
  std::optional<std::string> checkSession(mlir::ModuleOp module, const Runner &run, double tolerance);
  std::optional<std::string> compareCaches(const Step &step, mlir::func::FuncOp function, const Tensors &results, double tolerance);
  bool isToken(unsigned argument);

  mlir::func::FuncOp main;
  uint64_t seed;
  std::vector<Case> cases;
  std::vector<Row> rows;
  std::vector<Step> steps;
  Sizes sessionSizes;
  bool sessionReady = false;
};

} // namespace transom::random
