// Files: read-only memory maps, and writing that leaves nothing half-done. No formats here.
#pragma once

#include "runtime/support/Status.h"

#include <cstddef>
#include <functional>
#include <span>
#include <string>

namespace transom {

/// A regular file mapped read-only. Move-only; the bytes live as long as the object.
/// A file that another process truncates while mapped is outside what this can guard against.
class MappedFile {
public:
  /// Errors: notFound, io, invalidFile (a directory, a device, or empty).
  static Result<MappedFile> open(const std::string &path);
  MappedFile(MappedFile &&other) noexcept;
  MappedFile &operator=(MappedFile &&other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string &path() const { return path_; }

private:
  MappedFile() = default;
  std::string path_;
  const std::byte *data_ = nullptr;
  size_t size_ = 0;
};

/// Writes a file that appears under `path` complete or not at all: into a temporary file beside it, synced, renamed.
/// On any error, a full disk included, the temporary file is removed.
class AtomicFileWriter {
public:
  /// Errors: invalidArgument where `path` is there and no regular file, notFound, io.
  static Result<AtomicFileWriter> create(const std::string &path);
  AtomicFileWriter(AtomicFileWriter &&other) noexcept;
  AtomicFileWriter &operator=(AtomicFileWriter &&) = delete;
  ~AtomicFileWriter();

  Status write(std::span<const std::byte> bytes);
  /// Zero bytes up to the next multiple of `alignment`.
  Status padTo(size_t alignment);
  /// The end moves to `size`, behind what is written; zeros between.
  Status extendTo(size_t size);
  /// Overwrites bytes before the end, which stays. May be called from several threads at once.
  Status writeAt(size_t offset, std::span<const std::byte> bytes);
  /// Bytes written so far.
  size_t position() const { return position_; }
  Status commit();

private:
  AtomicFileWriter() = default;
  std::string path_, temporary_;
  int file_ = -1;
  size_t position_ = 0;
};

/// Whether something is at `path`. A link that leads nowhere counts: opening it then says what is wrong.
bool isThere(const std::string &path);

/// The whole of a text file of at most `limit` bytes.
Result<std::string> readTextFile(const std::string &path, size_t limit);

} // namespace transom
