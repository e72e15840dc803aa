// The one reader of artifacts: maps a file and verifies every byte of it before anything is used. Runs nothing.
#pragma once

#include "runtime/format/Contents.h"
#include "runtime/support/File.h"

namespace transom {

/// A verified artifact. Immutable and safe to share between threads; the spans live as long as the object.
class Artifact {
public:
  /// Errors: what MappedFile::open says; invalidFile for truncated, corrupt or inconsistent content, with the field's
  /// name; unsupported for a version this reader does not know. All weights are read once, to check their sums.
  static Result<Artifact> open(const std::string &path);

  const artifact::Contents &contents() const { return contents_; }
  std::span<const std::byte> bytes(const artifact::Section &section) const {
    return file_.bytes().subspan(section.offset, section.bytes);
  }
  const std::string &path() const { return file_.path(); }
  uint64_t fileBytes() const { return file_.bytes().size(); }

private:
  explicit Artifact(MappedFile file) : file_(std::move(file)) {}
  MappedFile file_;
  artifact::Contents contents_;
};

namespace artifact {

/// The steps of Artifact::open on bytes in memory (aligned to 8), for tests as well; messages name no file.
Result<Contents> verify(std::span<const std::byte> file);
/// The header's table as plain values. Bounded memory whatever the bytes; the values are not checked yet.
Result<Contents> unpack(std::span<const std::byte> header);
/// Everything about the values that can be wrong without looking at sections: indices, bounds, sizes, names.
Status check(const Contents &contents);

} // namespace artifact
} // namespace transom
