// Opens an artifact: preamble, header, sections, in this order; each is checked before the next is looked at.
#include "runtime/format/Artifact.h"

#include "runtime/format/Preamble.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

namespace transom {

namespace artifact {

namespace {

using Bytes = std::span<const std::byte>;

template <typename... Args> Status invalid(fmt::format_string<Args...> format, Args &&...args) {
  return error(StatusCode::invalidFile, format, std::forward<Args>(args)...);
}

/// A part of the file that must lie inside it, with what its bytes must sum to.
struct Part {
  std::string name;
  Section section;
};

Result<Preamble> readPreamble(Bytes file) {
  Preamble preamble;
  if (file.size() < sizeof preamble)
    return invalid("preamble: expected {} bytes, found {}", sizeof preamble, file.size());
  std::memcpy(&preamble, file.data(), sizeof preamble);
  if (std::memcmp(preamble.magic, magic, sizeof magic) != 0)
    return invalid("magic: not a Transom artifact");
  if (preamble.version > formatVersion)
    return error(StatusCode::unsupported, "version: the file has {}, this runtime reads {}; use a newer runtime",
                 preamble.version, formatVersion);
  if (preamble.version != formatVersion)
    return error(StatusCode::unsupported, "version: the file has {}, this runtime reads {}; compile the model again",
                 preamble.version, formatVersion);
  if (preamble.checksum != checksumOf(preamble))
    return invalid("preamble checksum: the file is corrupt");
  if (preamble.zero != 0 || preamble.reserved != 0)
    return invalid("preamble: a reserved field is not zero");
  if (preamble.fileBytes != file.size())
    return invalid("file size: expected {} bytes, found {}", preamble.fileBytes, file.size());
  CheckedSize end = CheckedSize(preamble.headerOffset) + CheckedSize(preamble.headerBytes);
  if (preamble.headerOffset != sizeof preamble || !end.fits(file.size()))
    return invalid("header: {} bytes at {} do not fit the file", preamble.headerBytes, preamble.headerOffset);
  return preamble;
}

Status checkPlaces(const std::vector<Part> &parts, Bytes file) {
  uint64_t position = 0;
  for (const auto &[name, section] : parts) {
    if (!(CheckedSize(section.offset) + CheckedSize(section.bytes)).fits(file.size()))
      return invalid("{}: {} bytes at {} pass the file's end at {}", name, section.bytes, section.offset, file.size());
    if (section.offset < position)
      return invalid("{}: offset {} overlaps what ends at {}", name, section.offset, position);
    Bytes gap = file.subspan(position, section.offset - position);
    if (std::any_of(gap.begin(), gap.end(), [](std::byte byte) { return byte != std::byte(0); }))
      return invalid("padding before {}: a byte is not zero", name);
    position = section.offset + section.bytes;
  }
  return {};
}

/// Sums all parts, in parallel where there is much to read.
Status checkSums(const std::vector<Part> &parts, Bytes file) {
  std::atomic<size_t> next = 0, wrong = SIZE_MAX;
  auto work = [&] {
    for (size_t i; (i = next.fetch_add(1)) < parts.size();)
      if (const Section &s = parts[i].section; XXH3_64bits(file.data() + s.offset, s.bytes) != s.checksum)
        wrong = i;
  };
  constexpr size_t bytesWorthAThread = size_t(32) << 20;
  size_t count = std::min<size_t>({file.size() / bytesWorthAThread, std::thread::hardware_concurrency(), 8});
  std::vector<std::jthread> threads;
  for (size_t i = 1; i < count; ++i)
    threads.emplace_back(work);
  work();
  threads.clear();
  return wrong == SIZE_MAX ? Status() : invalid("{}: the checksum is wrong, the file is corrupt", parts[wrong].name);
}

Status checkSections(const Contents &contents, const Preamble &preamble, Bytes file) {
  std::vector<Part> parts;
  for (const Code &code : contents.code) {
    if (code.section.offset % sectionAlignment != 0)
      return invalid("code {}: offset {} is not a multiple of {}", code.target, code.section.offset, sectionAlignment);
    parts.push_back({"code " + code.target, code.section});
  }
  for (const Weight &weight : contents.weights) {
    if (weight.section.offset % bufferAlignment != 0)
      return invalid("weight {}: offset {} is not a multiple of {}", weight.name, weight.section.offset,
                     bufferAlignment);
    if (uint64_t need = bytesFor(weight.dtype, weight.shape).value(); weight.section.bytes != need)
      return invalid("weight {}: expected {} bytes for {} of {}, found {}", weight.name, need,
                     fmt::join(weight.shape, "x"), name(weight.dtype), weight.section.bytes);
    parts.push_back({"weight " + weight.name, weight.section});
  }
  parts.push_back({"header", {0, preamble.headerOffset + preamble.headerBytes, 0}});
  parts.push_back({"end of file", {file.size(), 0, 0}});
  std::stable_sort(parts.begin(), parts.end(),
                   [](const Part &a, const Part &b) { return a.section.offset < b.section.offset; });
  TRANSOM_RETURN_IF_ERROR(checkPlaces(parts, file));
  std::erase_if(parts, [](const Part &part) { return part.name == "header" || part.name == "end of file"; });
  return checkSums(parts, file);
}

} // namespace

Result<Contents> verify(Bytes file) {
  TRANSOM_ASSIGN(Preamble preamble, readPreamble(file));
  Bytes header = file.subspan(preamble.headerOffset, preamble.headerBytes);
  if (XXH3_64bits(header.data(), header.size()) != preamble.headerChecksum)
    return invalid("header checksum: the file is corrupt");
  TRANSOM_ASSIGN(Contents contents, unpack(header));
  TRANSOM_RETURN_IF_ERROR(check(contents));
  TRANSOM_RETURN_IF_ERROR(checkSections(contents, preamble, file));
  return contents;
}

} // namespace artifact

Result<Artifact> Artifact::open(const std::string &path) {
  TRANSOM_ASSIGN(MappedFile file, MappedFile::open(path));
  Artifact artifact(std::move(file));
  Result<artifact::Contents> contents = artifact::verify(artifact.file_.bytes());
  if (!contents.ok())
    return contents.status().within(path);
  artifact.contents_ = std::move(*contents);
  return artifact;
}

} // namespace transom
