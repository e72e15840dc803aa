// See Calibrate.h.
#include "tools/transom/Calibrate.h"

#include "tools/transom/Common.h"

#include "runtime/Session.h"

#include <algorithm>
#include <cmath>
#include <unistd.h>
#include <filesystem>
#include <numeric>

namespace transom::cli {

namespace {

using Floats = std::vector<float>;

/// An artifact that is removed when it is done with.
struct TemporaryFile {
  std::string path;
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
};

/// What a text gave.
struct SampleResult {
  Floats numbers;           ///< of the model's output
  std::vector<float> tops;  ///< of outputs e4m3.0, e4m3.1, ...
};

/// A model on the CPU, text by text: no padding takes part in the largest magnitudes.
class SampleRun {
public:
  static Result<SampleRun> open(const std::string &path) {
    SampleRun run;
    TRANSOM_ASSIGN(run.model, Model::load(path));
    TRANSOM_ASSIGN(run.session, Session::create(run.model, {.device = {.kind = DeviceChoice::Kind::cpu}}));
    TRANSOM_ASSIGN(run.program, run.session->programIndex("main"));
    const artifact::Program &program = run.model->contents().programs[run.program];
    for (const artifact::Value &input : program.inputs)
      if ((input.name != "input_ids" && input.name != "attention_mask" && input.name != "token_type_ids") || input.dtype != DType::i32)
        return error(StatusCode::unsupported, "--calibrate: expected a model that reads input_ids, attention_mask and token_type_ids, found input \"{}\"",
                     input.name);
    auto found = std::ranges::find_if(program.outputs, [](const artifact::Value &value) { return value.dtype == DType::f32 && value.shape.size() >= 2; });
    if (found == program.outputs.end())
      return error(StatusCode::unsupported, "--calibrate: the model has no output of floats for each text");
    run.output = size_t(found - program.outputs.begin());
    return run;
  }

  Result<SampleResult> operator()(const std::vector<int32_t> &ids) {
    std::vector<int32_t> ones(ids.size(), 1), zeros(ids.size(), 0);
    int64_t shape[] = {1, std::ssize(ids)};
    const artifact::Program &own = model->contents().programs[program];
    std::vector<TensorView> inputs;
    for (const artifact::Value &input : own.inputs)
      inputs.push_back({input.name, DType::i32, shape, input.name == "input_ids" ? ids.data() : input.name == "attention_mask" ? ones.data() : zeros.data()});
    TRANSOM_ASSIGN(std::span<const TensorView> outputs, session->run(program, inputs));
    SampleResult result;
    for (size_t i = 0; i < outputs.size(); ++i) {
      auto *numbers = static_cast<const float *>(outputs[i].data);
      if (i == output)
        result.numbers.assign(numbers, numbers + bytesFor(DType::f32, outputs[i].shape).value() / sizeof(float));
      else if (outputs[i].name.starts_with("e4m3."))
        result.tops.push_back(numbers[0]);
    }
    return result;
  }

  const artifact::Value &outputValue() const { return model->contents().programs[program].outputs[output]; }
  size_t width() const { return size_t(upperBound(outputValue().shape.back(), model->contents().symbols).value()); }

  std::shared_ptr<const Model> model;

private:
  std::unique_ptr<Session> session;
  size_t program = 0, output = 0;
};

Result<std::vector<std::vector<int32_t>>> readSample(const std::string &path, const Model &model) {
  TRANSOM_ASSIGN(std::vector<std::string> lines, readLines(path));
  const artifact::Contents &contents = model.contents();
  int64_t most = model.metadataNumber("max_sequence_length").value_or(INT64_MAX);
  for (const artifact::Symbol &symbol : contents.symbols)
    if (symbol.name == "seq")
      most = std::min(most, symbol.max);
  std::vector<std::vector<int32_t>> sample;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].empty())
      continue;
    std::vector<int32_t> ids;
    if (const tokenizer::Tokenizer *tokenizer = model.tokenizer()) {
      ids = tokenizer->encode(lines[i], {.maxTokens = size_t(most)});
    } else {
      TRANSOM_ASSIGN(ids, parseTokens(lines[i], fmt::format("{}:{} (the model has no tokenizer)", path, i + 1)));
      ids.resize(std::min(ids.size(), size_t(most)));
    }
    if (!ids.empty())
      sample.push_back(std::move(ids));
  }
  if (sample.empty())
    return error(StatusCode::invalidArgument, "--calibrate: {}: expected a text a line, found none", path);
  return sample;
}

/// The larger, or NaN where either is.
template <class T> T largerOrNan(T a, T b) { return std::isnan(a) || a >= b ? a : b; }

//===-- Differences -------------------------------------------------------------------------------------------------===//

double cosine(const float *a, const float *b, size_t width) {
  double product = 0, sizeA = 0, sizeB = 0;
  for (size_t i = 0; i < width; ++i)
    product += double(a[i]) * b[i], sizeA += double(a[i]) * a[i], sizeB += double(b[i]) * b[i];
  return sizeA == 0 && sizeB == 0 ? 1 : product / std::sqrt(sizeA * sizeB);
}

/// Softmax over a row; of a single logit its sigmoid.
std::vector<double> probabilities(const float *logits, size_t width) {
  if (width == 1)
    return {1 / (1 + std::exp(-double(logits[0])))};
  std::vector<double> result(logits, logits + width);
  double top = *std::ranges::max_element(result), sum = 0;
  for (double &value : result)
    sum += value = std::exp(value - top);
  for (double &value : result)
    value /= sum;
  return result;
}

/// Over all rows of an output, of all texts.
struct Difference {
  bool scores; ///< logits; otherwise vectors
  size_t rows = 0, agreeing = 0;
  double sum = 0, least = 1, largest = 0;

  void add(const float *exact, const float *found, size_t width) {
    ++rows;
    if (!scores) {
      double alike = cosine(exact, found, width);
      sum += alike, least = -largerOrNan(-least, -alike);
      return;
    }
    std::vector<double> a = probabilities(exact, width), b = probabilities(found, width);
    auto best = [&](const std::vector<double> &shares) { return width == 1 ? std::ptrdiff_t(shares[0] > 0.5) : std::ranges::max_element(shares) - shares.begin(); };
    agreeing += best(a) == best(b);
    for (size_t i = 0; i < width; ++i)
      largest = largerOrNan(largest, std::abs(a[i] - b[i]));
  }

  std::string text() const {
    if (!scores)
      return fmt::format("cosine {:.6f} on average, {:.6f} at least", sum / double(rows), least);
    return fmt::format("the best label is the same for {} of {} ({:.2f}%), probabilities differ by {:.4f} at most", agreeing, rows,
                       100 * double(agreeing) / double(rows), largest);
  }
};

} // namespace

Result<CompileReport> compileCalibrated(const std::string &input, const std::string &output, const CompilerOptions &options,
                                        const std::string &sample, const CompileProgress &progress) {
  // Before minutes of work.
  TRANSOM_RETURN_IF_ERROR(checkOptions(options));
  TRANSOM_RETURN_IF_ERROR(readLines(sample).status());
  CompilerOptions own = options;
  own.targets = {"cpu"}, own.cpu = "native", own.lengths.clear(), own.batchInvariant = false, own.observe = true;
  TemporaryFile file{fmt::format("{}.sample-{}", output, getpid())};
  auto named = [&](const char *run) {
    return [&progress, run](const std::string &stage, double share) { progress(std::string(run) + ": " + stage, share); };
  };

  std::vector<std::vector<int32_t>> texts;
  std::vector<SampleResult> exact;
  std::vector<float> tops;
  {
    TRANSOM_RETURN_IF_ERROR(compileModel(input, file.path, own, named("calibrate")).status());
    TRANSOM_ASSIGN(SampleRun run, SampleRun::open(file.path));
    TRANSOM_ASSIGN(texts, readSample(sample, *run.model));
    for (const std::vector<int32_t> &ids : texts) {
      TRANSOM_ASSIGN(SampleResult result, run(ids));
      tops.resize(result.tops.size());
      for (size_t i = 0; i < tops.size(); ++i)
        tops[i] = largerOrNan(tops[i], result.tops[i]);
      exact.push_back(std::move(result));
      progress("calibrate: run", double(exact.size()) / double(texts.size()));
    }
  }
  for (size_t i = 0; i < tops.size(); ++i) {
    if (!std::isfinite(tops[i]))
      return error(StatusCode::invalidArgument, "--calibrate: {}: product {} reads a number that is not finite", sample, i);
    own.scales.push_back(std::max(double(tops[i]) / 448, 0x1p-120));
  }

  own.observe = false;
  TRANSOM_RETURN_IF_ERROR(compileModel(input, file.path, own, named("measure")).status());
  TRANSOM_ASSIGN(SampleRun run, SampleRun::open(file.path));
  Difference difference{.scores = run.outputValue().name == "logits"};
  for (size_t i = 0; i < texts.size(); ++i) {
    TRANSOM_ASSIGN(SampleResult result, run(texts[i]));
    for (size_t at = 0; at + run.width() <= result.numbers.size(); at += run.width())
      difference.add(exact[i].numbers.data() + at, result.numbers.data() + at, run.width());
    progress("measure: run", double(i + 1) / double(texts.size()));
  }

  CompilerOptions last = options;
  last.scales = own.scales;
  last.metadata["quantised_error"] =
      fmt::format("{} of {} texts, {} tokens: {}; against fp32, both by CPU code", run.outputValue().name, texts.size(),
                  std::accumulate(texts.begin(), texts.end(), size_t(0), [](size_t sum, const auto &ids) { return sum + ids.size(); }), difference.text());
  return compileModel(input, output, last, progress);
}

} // namespace transom::cli
