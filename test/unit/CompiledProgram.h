// For tests of lowering and code together: a graph as text, compiled into an artifact and run in a session, and the same
// graph in the reference interpreter.
#pragma once

#include "ArtifactFixture.h"
#include "RandomWeights.h"
#include "codegen/cpu/CpuCodegen.h"
#include "compiler/ArtifactBuilder.h"
#include "codegen/TensorBytes.h"
#include "compiler/interpreter/Interpreter.h"
#include "ir/DimAnalysis.h"
#include "ir/Plan.h"
#include "passes/Passes.h"
#include "runtime/Session.h"

#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"

#include <cmath>
#include <deque>
#include <map>

namespace transom::test {

using Sizes = std::map<std::string, int64_t>;

/// The function @main of a text. Weights are random; caches begin with zeros and live on from run to run.
class CompiledProgram {
public:
  /// Fails the test where the text or its compilation does.
  CompiledProgram(const std::string &text, const std::string &level, std::mt19937 &random) : random(random) {
    graph = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    mlir::OwningOpRef<mlir::ModuleOp> plan = graph ? graph->clone() : mlir::ModuleOp();
    static bool registered = (registerTransomPasses(), true);
    mlir::PassManager manager(&context);
    if (!graph || !registered || failed(mlir::parsePassPipeline("lower-to-plan,plan-memory", manager)) || failed(manager.run(*plan)))
      return;
    addWeights();
    auto code = generateCpu(*plan, level);
    if (failed(code))
      return;
    std::optional<tokenizer::TokenizerSpec> none;
    CpuPart cpu{*plan, std::move(*code)};
    auto built = buildArtifact(folder.file("a"), {&cpu, nullptr, weights, none}, {});
    EXPECT_TRUE(built.ok()) << built.status().message();
    if (!built.ok())
      return;
    auto model = Model::load(folder.file("a"));
    EXPECT_TRUE(model.ok()) << model.status().message();
    if (!model.ok())
      return;
    auto created = Session::create(*model, {.threads = 3});
    EXPECT_TRUE(created.ok()) << created.status().message();
    session = std::move(*created);
  }
  explicit operator bool() const { return session != nullptr; }
  const std::vector<artifact::Step> &steps() const { return session->model().contents().programs[0].steps; }

  void clearCaches() {
    session->clearStates();
    caches.clear();
  }

  /// Runs with random inputs of these sizes, but the integers given by name; compares every result with the interpreter's.
  /// Memory is full of NaN beforehand.
  void check(const Sizes &sizes, const std::map<std::string, std::vector<int64_t>> &integers = {}, double tolerance = 2e-5) {
    auto function = graph->lookupSymbol<mlir::func::FuncOp>("main");
    std::vector<interpreter::Tensor> inputs;
    std::vector<std::pair<std::string, interpreter::Tensor>> given;
    size_t cache = 0;
    for (unsigned i = 0; i < function.getNumArguments(); ++i) {
      mlir::Type type = function.getArgumentTypes()[i];
      std::string name = function.getArgAttrOfType<mlir::StringAttr>(i, "transom.name").str();
      std::vector<int64_t> shape;
      for (const DimExpr &dim : argumentDims(function, i))
        shape.push_back(*dim.evaluate([&](llvm::StringRef symbol) { return std::optional(sizes.at(symbol.str())); }));
      interpreter::Tensor tensor(storedType(elementOf(type)), shape);
      if (mlir::isa<CacheType>(type)) {
        if (caches.size() <= cache)
          caches.push_back(tensor);
        inputs.push_back(caches[cache++]);
        continue;
      }
      if (tensor.isFloat())
        for (double &number : tensor.change<double>())
          number = std::uniform_real_distribution<float>(-1, 1)(random);
      else
        for (size_t at = 0; int64_t &number : tensor.change<int64_t>())
          number = integers.contains(name) ? integers.at(name).at(at++) : int64_t(random() % 7);
      inputs.push_back(tensor);
      given.push_back({name, tensor});
    }
    auto expected = interpreter::Interpreter(interpreter::Precision::f64, &weights).run(function, inputs);
    ASSERT_TRUE(expected.ok()) << expected.status().message();
    if (cache == 0)
      execute(given, /*poison=*/true);
    auto found = execute(given, /*poison=*/false);
    cache = 0;
    size_t output = 0;
    for (unsigned i = 0; i < function.getNumResults(); ++i) {
      const interpreter::Tensor &wanted = (*expected)[i];
      if (mlir::isa<CacheType>(function.getResultTypes()[i])) {
        caches.at(cache++) = wanted;
        continue;
      }
      ASSERT_LT(output, found.size());
      compare(found[output++], wanted, tolerance, i);
    }
  }

private:
  static mlir::DialectRegistry registry() {
    mlir::DialectRegistry registry;
    registry.insert<mlir::arith::ArithDialect, mlir::func::FuncDialect, mlir::math::MathDialect, TransomDialect, plan::PlanDialect>();
    return registry;
  }

  void addWeights() {
    graph->walk([&](WeightOp op) {
      auto type = mlir::cast<mlir::RankedTensorType>(op.getType());
      std::vector<int64_t> shape = type.getShape().vec();
      int64_t width = shape.empty() ? 1 : shape.back();
      Weights made = randomWeights(random, storedType(type.getElementType()), type.getNumElements() / width, width);
      bytes.push_back(std::move(made.bytes));
      EXPECT_TRUE(weights.add({op.getName().str(), storedType(type.getElementType()), shape, bytes.back()}).ok());
    });
  }

  std::vector<TensorView> execute(const std::vector<std::pair<std::string, interpreter::Tensor>> &given, bool poison) {
    std::vector<std::vector<std::byte>> data;
    std::vector<TensorView> views;
    data.reserve(given.size());
    for (auto &[name, tensor] : given) {
      auto &own = data.emplace_back(size_t(tensor.size()) * (tensor.dtype() == DType::i64 ? 8 : 4));
      for (int64_t i = 0; i < tensor.size(); ++i) {
        auto put = [&](auto number) { std::memcpy(own.data() + size_t(i) * sizeof number, &number, sizeof number); };
        if (tensor.isFloat())
          put(poison ? NAN : float(tensor.at(i)));
        else if (tensor.dtype() == DType::i64)
          put(tensor.integers()[size_t(i)]);
        else
          put(int32_t(tensor.integers()[size_t(i)]));
      }
      views.push_back({name, tensor.dtype(), tensor.shape(), own.data()});
    }
    auto outputs = session->run(0, views);
    EXPECT_TRUE(outputs.ok()) << outputs.status().message();
    return outputs.ok() ? std::vector<TensorView>(outputs->begin(), outputs->end()) : std::vector<TensorView>();
  }

  static void compare(const TensorView &found, const interpreter::Tensor &wanted, double tolerance, unsigned result) {
    ASSERT_TRUE(std::ranges::equal(found.shape, wanted.shape()));
    double size = 1e-6;
    for (int64_t i = 0; i < wanted.size(); ++i)
      size = std::max(size, std::isfinite(wanted.at(i)) ? std::abs(wanted.at(i)) : 0.0);
    for (int64_t i = 0; i < wanted.size(); ++i) {
      float number = static_cast<const float *>(found.data)[i];
      if (std::isfinite(wanted.at(i)))
        ASSERT_NEAR(number, wanted.at(i), tolerance * size) << "result " << result << " at " << i;
    }
  }

  std::mt19937 &random;
  mlir::MLIRContext context{registry(), mlir::MLIRContext::Threading::DISABLED};
  mlir::OwningOpRef<mlir::ModuleOp> graph;
  TemporaryFolder folder;
  std::deque<std::vector<std::byte>> bytes;
  TensorSource weights;
  std::unique_ptr<Session> session;
  std::vector<interpreter::Tensor> caches;
};

} // namespace transom::test
