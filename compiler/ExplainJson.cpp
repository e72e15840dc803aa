// See ExplainPrint.h: the same for programs. Keys are those of Explain.h in snake_case.
#include "compiler/ExplainPrint.h"

#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

namespace transom {

namespace {

using llvm::json::OStream;

/// Names come from model files, which may hold any bytes.
std::string utf8(const std::string &text) { return llvm::json::isUTF8(text) ? text : llvm::json::fixUTF8(text); }

class Writer {
public:
  explicit Writer(OStream &json) : json(json) {}

  void write(const Explanation &e) {
    json.object([&] {
      attribute("model", e.model);
      attribute("architecture", e.architecture);
      attribute("task", e.task);
      json.attribute("seconds", e.seconds);
      json.attribute("session_bytes", sessionBytes(e));
      list("sizes", e.sizes, [&](const Explanation::Size &size) {
        attribute("name", size.name);
        json.attribute("min", size.min);
        json.attribute("max", size.max);
        json.attribute("typical", size.typical);
      });
      list("stages", e.stages, [&](const Explanation::Stage &stage) { writeStage(stage); });
      list("applied", e.applied, [&](const Explanation::Finding &finding) { writeFinding(finding); });
      list("rejected", e.rejected, [&](const Explanation::Finding &finding) { writeFinding(finding); });
      list("programs", e.programs, [&](const Explanation::Program &program) { writeProgram(program); });
      json.attributeObject("graph", [&] {
        for (auto [key, functions] : {std::pair("before", &e.before), std::pair("after", &e.after)})
          list(key, *functions, [&](const Explanation::Function &function) { writeFunction(function); });
      });
    });
  }

private:
  void attribute(llvm::StringRef key, const std::string &text) { json.attribute(key, utf8(text)); }
  void attribute(llvm::StringRef key, std::optional<int64_t> number) { json.attribute(key, number); }
  template <typename T, typename Item> void list(llvm::StringRef key, const std::vector<T> &items, Item item) {
    json.attributeArray(key, [&] {
      for (const T &each : items)
        json.object([&] { item(each); });
    });
  }
  void strings(llvm::StringRef key, const std::vector<std::string> &items) {
    json.attributeArray(key, [&] {
      for (const std::string &item : items)
        json.value(utf8(item));
    });
  }

  void writeStage(const Explanation::Stage &stage) {
    attribute("name", stage.name);
    json.attribute("run", stage.run);
    json.attribute("seconds", stage.seconds);
    strings("promises", stage.promises);
    json.attributeObject("ops", [&] {
      for (auto &[name, count] : stage.ops)
        json.attribute(name, count);
    });
  }

  void writeFinding(const Explanation::Finding &finding) {
    attribute("pass", finding.pass);
    attribute("op", finding.op);
    attribute("condition", finding.condition);
    attribute("text", finding.text);
    attribute("layers", finding.layers);
    strings("where", finding.where);
    json.attribute("places", finding.places);
    attribute("bytes", finding.bytes);
    attribute("launches", finding.launches);
  }

  void cost(llvm::StringRef key, const Explanation::Cost &cost) {
    json.attributeObject(key, [&] {
      json.attribute("bytes", cost.bytes);
      json.attribute("operations", cost.operations);
    });
  }

  void writeProgram(const Explanation::Program &program) {
    attribute("name", program.name);
    for (auto [key, number] : {std::pair("arena_bytes", program.arenaBytes), {"staging_bytes", program.stagingBytes},
                               {"state_bytes", program.stateBytes}, {"weight_bytes", program.weightBytes},
                               {"distinct_kernels", program.kernels}, {"launches", program.launches}, {"products", program.products}})
      json.attribute(key, number);
    list("layers", program.layers, [&](const Explanation::LayerLoad &load) {
      attribute("layers", load.layers);
      json.attribute("count", load.count);
      json.attribute("fewest", load.fewest);
      json.attribute("most", load.most);
    });
    list("kernels", kernelTotals(program), [&](const KernelTotal &total) {
      attribute("kernel", total.kernel);
      json.attribute("steps", total.steps);
      cost("at_bounds", total.atBounds);
      cost("typical", total.typical);
    });
    list("steps", program.steps, [&](const Explanation::Step &step) {
      attribute("kernel", step.kernel);
      attribute("layer", step.layer);
      cost("at_bounds", step.atBounds);
      cost("typical", step.typical);
    });
    list("buffers", program.buffers, [&](const Explanation::Buffer &buffer) {
      attribute("name", buffer.name);
      json.attribute("offset", buffer.offset);
      json.attribute("bytes", buffer.bytes);
      json.attribute("first", buffer.first);
      json.attribute("last", buffer.last);
    });
  }

  void writeFunction(const Explanation::Function &function) {
    attribute("name", function.name);
    list("ops", function.ops, [&](const Explanation::GraphOp &op) {
      attribute("op", op.op);
      attribute("layer", op.layer);
      attribute("result", op.result);
      json.attributeArray("reads", [&] {
        for (uint32_t read : op.reads)
          json.value(read);
      });
      strings("others", op.others);
    });
  }

  OStream &json;
};

} // namespace

std::string explanationJson(const Explanation &explanation) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  OStream json(stream);
  Writer(json).write(explanation);
  return text + "\n";
}

} // namespace transom
