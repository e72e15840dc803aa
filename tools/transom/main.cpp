// transom: compiles models to artifacts and runs them. This file parses and reports; each command has its own.
#include "tools/transom/Commands.h"
#include "tools/transom/Common.h"

#include <cstdio>

static constexpr const char *examples = R"(
Examples:
  transom compile SmolLM2-135M-Instruct.Q4_1.gguf -o smollm2.transom
  transom explain SmolLM2-135M-Instruct.Q4_1.gguf --html=smollm2.html
  transom generate smollm2.transom --chat --prompt "Why is the sky blue?"
  transom compile all-MiniLM-L6-v2/ -o minilm.transom
  transom embed minilm.transom --input sentences.txt --output vectors.npy
  transom classify reviews.transom --input reviews.txt
  transom inspect smollm2.transom --plan
)";

int main(int argc, char **argv) {
  using namespace transom;
  CLI::App app("Transom compiles transformer models ahead of time into one file, and runs them.", "transom");
  app.footer(examples);
  app.set_version_flag("--version", "transom " TRANSOM_VERSION);
  app.require_subcommand(1);
  cli::Action action;
  cli::addCompile(app, action);
  cli::addExplain(app, action);
  cli::addGenerate(app, action);
  cli::addEmbed(app, action);
  cli::addClassify(app, action);
  cli::addRun(app, action);
  cli::addInspect(app, action);
  cli::addVerify(app, action);
  cli::addBench(app, action);
  cli::addDiff(app, action);
  cli::addTune(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &problem) {
    if (problem.get_exit_code() == 0)
      return app.exit(problem); // --help and --version
    fmt::print(stderr, "transom: error: {} (see transom --help)\n", cli::oneLine(problem.what()));
    return 1;
  }
  if (Status status = action(); !status.ok()) {
    std::fflush(stdout);
    fmt::print(stderr, "transom: error: {}\n", cli::oneLine(status.message()));
    return 1;
  }
  return 0;
}
