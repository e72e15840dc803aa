// Running the check of one seed, or of many in worker processes.
#pragma once

#include "test/random/Check.h"

namespace transom::random {

struct RunOptions {
  uint64_t first = 1;
  int64_t count = 200;
  int64_t jobs = 1;
  int64_t compileEvery = 50; ///< every so many seeds also as compiled code; 0: none
  int64_t reduce = 3;        ///< how many failures are made small
  std::string out;           ///< folder for graphs of failures; empty: none are written
  std::string json;          ///< file for the summary
  std::string file, variant;
  bool one = false, print = false;
};

/// Exit codes.
int runOne(const RunOptions &options);
int runMany(const RunOptions &options);

/// Whether seed `seed` is also compiled.
bool isCompiled(const RunOptions &options, uint64_t seed);

/// Makes a failure of a seed small and writes it to the output folder and the log.
void reduceSeed(const RunOptions &options, uint64_t seed, Failure failure);

} // namespace transom::random
