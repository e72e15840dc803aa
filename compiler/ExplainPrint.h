// An explanation for people and for programs.
#pragma once

#include "compiler/Explain.h"

namespace transom {

/// A page of text for a terminal.
TRANSOM_COMPILER_API std::string explanationText(const Explanation &explanation);
/// One JSON object; docs/explain.md lists its keys.
TRANSOM_COMPILER_API std::string explanationJson(const Explanation &explanation);
/// One HTML page that needs nothing beside it. Text from the model cannot become markup in it.
TRANSOM_COMPILER_API std::string explanationHtml(const Explanation &explanation);

/// Steps of a program that run one kernel, added up; the order of the first of each.
struct KernelTotal {
  std::string kernel;
  int64_t steps = 0;
  Explanation::Cost atBounds, typical;
};
std::vector<KernelTotal> kernelTotals(const Explanation::Program &program);

/// Memory of a session: the largest arena, since programs run one at a time, all staging, and the states.
int64_t sessionBytes(const Explanation &explanation);

} // namespace transom
