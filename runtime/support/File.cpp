// See File.h.
#include "runtime/support/File.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace transom {

namespace {

Status systemError(const std::string &path, const char *action) {
  StatusCode code = errno == ENOENT ? StatusCode::notFound : StatusCode::io;
  return error(code, "{}: cannot {}: {}", path, action, std::strerror(errno));
}

/// Opens a regular file for reading and stores its size. The caller closes the descriptor.
Result<int> openRegular(const std::string &path, size_t &size) {
  int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0)
    return systemError(path, "open");
  struct stat info;
  Status status;
  if (::fstat(file, &info) != 0)
    status = systemError(path, "read its size");
  else if (S_ISDIR(info.st_mode))
    status = error(StatusCode::invalidFile, "{}: expected a file, found a directory", path);
  else if (!S_ISREG(info.st_mode))
    status = error(StatusCode::invalidFile, "{}: expected a regular file", path);
  else if (info.st_size == 0)
    status = error(StatusCode::invalidFile, "{}: the file is empty", path);
  if (!status.ok()) {
    ::close(file);
    return status;
  }
  size = static_cast<size_t>(info.st_size);
  return file;
}

} // namespace

Result<MappedFile> MappedFile::open(const std::string &path) {
  MappedFile mapped;
  TRANSOM_ASSIGN(int file, openRegular(path, mapped.size_));
  void *data = ::mmap(nullptr, mapped.size_, PROT_READ, MAP_SHARED, file, 0);
  ::close(file);
  if (data == MAP_FAILED) {
    mapped.size_ = 0;
    return systemError(path, "map");
  }
  mapped.data_ = static_cast<const std::byte *>(data);
  mapped.path_ = path;
  return mapped;
}

MappedFile::MappedFile(MappedFile &&other) noexcept { *this = std::move(other); }

MappedFile &MappedFile::operator=(MappedFile &&other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_)
    ::munmap(const_cast<std::byte *>(data_), size_);
}

Result<AtomicFileWriter> AtomicFileWriter::create(const std::string &path) {
  // Renaming would replace a device or a pipe by a file.
  struct stat info;
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode))
    return error(StatusCode::invalidArgument, "{}: expected a file to write, found a {}", path,
                 S_ISDIR(info.st_mode) ? "directory" : "device, pipe or socket");
  AtomicFileWriter writer;
  writer.path_ = path;
  std::string pattern = path + ".partial-XXXXXX";
  writer.file_ = ::mkostemp(pattern.data(), O_CLOEXEC);
  if (writer.file_ < 0)
    return systemError(path, "create");
  writer.temporary_ = pattern;
  return writer;
}

AtomicFileWriter::AtomicFileWriter(AtomicFileWriter &&other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_, other.temporary_);
  std::swap(file_, other.file_);
  std::swap(position_, other.position_);
}

AtomicFileWriter::~AtomicFileWriter() {
  if (file_ >= 0)
    ::close(file_);
  if (!temporary_.empty())
    ::unlink(temporary_.c_str());
}

Status AtomicFileWriter::extendTo(size_t size) {
  if (::ftruncate(file_, static_cast<off_t>(size)) != 0)
    return systemError(path_, "write");
  position_ = size;
  return {};
}

Status AtomicFileWriter::writeAt(size_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    ssize_t count = ::pwrite(file_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return systemError(path_, "write");
    bytes = bytes.subspan(static_cast<size_t>(count));
    offset += static_cast<size_t>(count);
  }
  return {};
}

Status AtomicFileWriter::write(std::span<const std::byte> bytes) {
  TRANSOM_RETURN_IF_ERROR(writeAt(position_, bytes));
  position_ += bytes.size();
  return {};
}

Status AtomicFileWriter::padTo(size_t alignment) {
  static constexpr std::byte zeros[4096] = {};
  while (size_t over = position_ % alignment)
    TRANSOM_RETURN_IF_ERROR(write(std::span(zeros).first(std::min(sizeof zeros, alignment - over))));
  return {};
}

Status AtomicFileWriter::commit() {
  // mkostemp creates files private to the user; an artifact gets the mode any new file would get.
  mode_t mask = ::umask(0);
  ::umask(mask);
  if (::fchmod(file_, 0666 & ~mask) != 0 || ::fsync(file_) != 0)
    return systemError(path_, "write");
  int file = std::exchange(file_, -1);
  if (::close(file) != 0)
    return systemError(path_, "write");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    return systemError(path_, "rename into place");
  temporary_.clear();
  return {};
}

bool isThere(const std::string &path) {
  struct stat info;
  return ::lstat(path.c_str(), &info) == 0;
}

Result<std::string> readTextFile(const std::string &path, size_t limit) {
  TRANSOM_ASSIGN(MappedFile file, MappedFile::open(path));
  if (file.bytes().size() > limit)
    return error(StatusCode::invalidFile, "{}: {} bytes, more than the {} this kind of file may have", path,
                 file.bytes().size(), limit);
  return std::string(reinterpret_cast<const char *>(file.bytes().data()), file.bytes().size());
}

} // namespace transom
