// Copies an artifact under another header: its weights and code stay as they are. For tools that change what steps say.
#pragma once

#include "runtime/format/Artifact.h"

namespace transom::artifact {

/// Writes `path`, complete or not at all; it may be the artifact's own. `contents` are the artifact's but for what the caller has
/// changed: as many weights and code sections, in the same order, of the same sizes. Unchanged contents give the same bytes.
/// Errors: ArtifactWriter.h's.
Status copyWith(const Artifact &artifact, Contents contents, const std::string &path);

} // namespace transom::artifact
