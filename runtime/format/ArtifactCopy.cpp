// See ArtifactCopy.h.
#include "runtime/format/ArtifactCopy.h"

#include "runtime/format/ArtifactWriter.h"

namespace transom::artifact {

Status copyWith(const Artifact &artifact, Contents contents, const std::string &path) {
  const Contents &from = artifact.contents();
  WriteInput input{.contents = std::move(contents), .weights = {}, .codeBytes = {}, .progress = {}};
  for (const Weight &weight : from.weights)
    input.weights.push_back([bytes = artifact.bytes(weight.section)](const ByteSink &sink) { return sink(bytes); });
  for (const Code &code : from.code) {
    std::span<const std::byte> bytes = artifact.bytes(code.section);
    input.codeBytes.emplace_back(bytes.begin(), bytes.end());
  }
  return write(path, std::move(input));
}

} // namespace transom::artifact
