// The commands. Each function adds one to the program, with its options and help; `action` runs after parsing.
#pragma once

#include "runtime/support/Status.h"

#include <CLI/CLI.hpp>

#include <functional>

namespace transom {
struct CompilerOptions;
}

namespace transom::cli {

/// What the chosen command does. Set by the command that was parsed.
using Action = std::function<Status()>;

void addCompile(CLI::App &app, Action &action);
void addExplain(CLI::App &app, Action &action);
void addGenerate(CLI::App &app, Action &action);
void addEmbed(CLI::App &app, Action &action);
void addClassify(CLI::App &app, Action &action);
void addRun(CLI::App &app, Action &action);
void addInspect(CLI::App &app, Action &action);
void addVerify(CLI::App &app, Action &action);
void addBench(CLI::App &app, Action &action);
void addDiff(CLI::App &app, Action &action);
void addTune(CLI::App &app, Action &action);

/// Options that several commands which compile have: the sizes it is for, and the passes it takes. `options` outlives
/// parsing.
void addSizeOptions(CLI::App &command, CompilerOptions &options);
void addPassOptions(CLI::App &command, CompilerOptions &options);

} // namespace transom::cli
