// transom explain: what the compiler makes of a model, and why, without generating code.
#include "tools/transom/Commands.h"
#include "tools/transom/Common.h"

#ifdef TRANSOM_HAS_COMPILER
#include "compiler/ExplainPrint.h"

namespace transom::cli {

namespace {

struct ExplainFlags {
  std::string input, html;
  ExplainOptions options;
  std::vector<std::string> sizes;
  bool json = false;
};

/// "seq=64" into `sizes`.
Status readSize(const std::string &text, std::map<std::string, int64_t> &sizes) {
  size_t equals = text.find('=');
  std::optional<int64_t> value = equals == text.npos ? std::nullopt : parseNumber(std::string_view(text).substr(equals + 1));
  if (!value || equals == 0)
    return error(StatusCode::invalidArgument, "--at: expected a size and a number such as seq=64, found '{}'", text);
  sizes[text.substr(0, equals)] = *value;
  return {};
}

Status explain(ExplainFlags &flags) {
  for (const std::string &size : flags.sizes)
    TRANSOM_RETURN_IF_ERROR(readSize(size, flags.options.typical));
  TRANSOM_ASSIGN(Explanation explanation, explainModel(flags.input, flags.options));
  if (!flags.html.empty())
    TRANSOM_RETURN_IF_ERROR(writeText(flags.html, explanationHtml(explanation)));
  if (flags.json)
    fmt::print("{}", explanationJson(explanation));
  else if (flags.html.empty())
    fmt::print("{}", printable(explanationText(explanation)));
  return {};
}

} // namespace

void addExplain(CLI::App &app, Action &action) {
  auto flags = std::make_shared<ExplainFlags>();
  CLI::App *command = app.add_subcommand("explain", "show what the passes make of a model, what they leave alone and why");
  command->footer("Generates no code and takes seconds. Costs are estimates, for each run at the largest sizes.");
  command->add_option("model", flags->input, "a Hugging Face folder, a .gguf file, or an .mlir file in the transom dialect")->required();
  command->add_flag("--json", flags->json, "everything as JSON, on standard output");
  command->add_option("--html", flags->html, "write everything to this file as one page that needs nothing beside it");
  command->add_option("--at", flags->sizes, "a size for typical figures, such as seq=64; may be given again")->allow_extra_args(false);
  addSizeOptions(*command, flags->options.compiler);
  addPassOptions(*command, flags->options.compiler);
  command->callback([flags, &action] { action = [flags] { return explain(*flags); }; });
}

} // namespace transom::cli

#else

namespace transom::cli {
void addExplain(CLI::App &, Action &) {}
} // namespace transom::cli

#endif
