// Compiling with --calibrate: scales for products of 8 bits from a sample of the user's texts, and what rounding does to the results on it.
#pragma once

#include "compiler/Compile.h"

namespace transom::cli {

/// Compiles `input` twice for the CPU, beside `output`, and runs the sample: first in fp32, for the largest magnitude that each product
/// reads, then with the scales that follow from these. Then compiles as `options` say, with these scales, and with what the two runs
/// differ by in the artifact's metadata, as `quantised_error`. The sample is a text a line, or without a tokenizer token ids, each cut to
/// what the model takes.
/// Errors: invalidArgument for an empty or unreadable sample, naming file and line; compileModel's; unsupported where the model reads more
/// than tokens, or has no output to compare.
Result<CompileReport> compileCalibrated(const std::string &input, const std::string &output, const CompilerOptions &options,
                                        const std::string &sample, const CompileProgress &progress);

} // namespace transom::cli
