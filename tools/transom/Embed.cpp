// transom embed: a vector for each line of a text file.
#include "tools/transom/Commands.h"
#include "tools/transom/Common.h"
#include "tools/transom/Npz.h"

#include "runtime/Embedder.h"

#include <cstring>

namespace transom::cli {

namespace {

struct EmbedFlags {
  std::string path, input, output;
  Where where;
  size_t batch = 0;
  bool quiet = false;
};

Status embed(const EmbedFlags &flags) {
  TRANSOM_ASSIGN(std::vector<std::string> texts, readLines(flags.input));
  if (texts.empty())
    return error(StatusCode::invalidArgument, "{}: expected a text a line", flags.input);
  TRANSOM_ASSIGN(std::shared_ptr<const Model> model, Model::load(flags.path));
  TRANSOM_ASSIGN(std::unique_ptr<Session> session, Session::create(model, {.device = flags.where.device, .threads = flags.where.threads}));
  TRANSOM_ASSIGN(Embedder embedder, Embedder::create(*session));
  // Texts of similar length share a batch only within a call: with --batch, calls are the user's own groups.
  size_t group = flags.batch ? flags.batch : texts.size();
  EncoderStats sum;
  Array vectors;
  vectors.name = "embeddings";
  vectors.shape = {int64_t(texts.size()), embedder.dimension()};
  ProgressLine line(flags.quiet);
  for (size_t start = 0; start < texts.size(); start += group) {
    EncoderStats stats;
    auto part = std::span(texts).subspan(start, std::min(group, texts.size() - start));
    TRANSOM_ASSIGN(std::vector<float> numbers, embedder.embed(part, &stats));
    auto bytes = std::as_bytes(std::span(numbers));
    vectors.bytes.insert(vectors.bytes.end(), bytes.begin(), bytes.end());
    sum.tokens += stats.tokens;
    sum.truncated += stats.truncated;
    sum.seconds += stats.seconds;
    line.show("embedding", double(start + part.size()) / double(texts.size()));
  }
  line.clear();
  TRANSOM_RETURN_IF_ERROR(writeNumpy(flags.output, {&vectors, 1}));
  if (!flags.quiet) {
    fmt::print("{} texts, {} tokens in {:.2f} s -> {} [{}, {}]\n", texts.size(), sum.tokens, sum.seconds, flags.output, texts.size(),
               embedder.dimension());
    if (sum.truncated > 0)
      fmt::print("{} texts were longer than {} tokens and were cut\n", sum.truncated, embedder.maxTokens());
  }
  return {};
}

} // namespace

void addEmbed(CLI::App &app, Action &action) {
  auto flags = std::make_shared<EmbedFlags>();
  CLI::App *command = app.add_subcommand("embed", "compute a vector for each line of a text file");
  addModelOptions(*command, flags->path, flags->where);
  command->add_option("--input", flags->input, "the file, a text a line")->required();
  command->add_option("--output", flags->output, "where the vectors go: .npy, f32 [lines, dim], or .npz")->required();
  command->add_option("--batch", flags->batch, "texts per call; 0: all, grouped by length");
  command->add_flag("--quiet", flags->quiet, "print errors only");
  command->callback([flags, &action] { action = [flags] { return embed(*flags); }; });
}

} // namespace transom::cli
