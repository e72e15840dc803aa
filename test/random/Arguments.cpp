// transom-random: random graphs through the passes, each against the reference interpreter.
//   transom-random [--first=N] [--count=N] [--jobs=N] [--compile-every=N] [--out=DIR] [--reduce=N] [--json=FILE]
//   transom-random --seed=N [--print] [--variant=NAME]    one graph, everything about it
//   transom-random graph.mlir [--seed=N]                  a graph as text, inputs of the seed
#include "test/random/Run.h"
#include "test/random/RandomMain.h"

#include "llvm/ADT/StringRef.h"

#include <cstdio>

namespace transom::random {

int randomMain(int argc, char **argv) {
  RunOptions options;
  for (int i = 1; i < argc; ++i) {
    llvm::StringRef text = argv[i];
    auto number = [&](llvm::StringRef name, auto &value) { return text.consume_front(name) && !text.getAsInteger(10, value); };
    if (number("--first=", options.first) || number("--count=", options.count) || number("--jobs=", options.jobs) ||
        number("--compile-every=", options.compileEvery) || number("--reduce=", options.reduce))
      continue;
    if (number("--seed=", options.first))
      options.one = true;
    else if (text == "--print")
      options.print = true;
    else if (text.consume_front("--variant="))
      options.variant = text;
    else if (text.consume_front("--out="))
      options.out = text;
    else if (text.consume_front("--json="))
      options.json = text;
    else if (text.starts_with("--")) {
      std::fprintf(stderr, "error: unknown argument %s\n", argv[i]);
      return 1;
    } else
      options.file = text, options.one = true;
  }
  return options.one ? runOne(options) : runMany(options);
}

} // namespace transom::random
