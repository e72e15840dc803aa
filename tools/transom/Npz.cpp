// See Npz.h.
#include "tools/transom/Npz.h"

#include "runtime/support/Checked.h"
#include "runtime/support/File.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <zlib.h>

namespace transom {

namespace {

using Bytes = std::span<const std::byte>;

struct NumpyType {
  DType dtype;
  std::string_view code;
};
constexpr NumpyType numpyTypes[] = {{DType::f32, "<f4"}, {DType::f16, "<f2"}, {DType::f64, "<f8"},
                                    {DType::i32, "<i4"}, {DType::i64, "<i8"}, {DType::i16, "<i2"},
                                    {DType::i8, "|i1"},  {DType::u8, "|u1"},  {DType::boolean, "|b1"}};
/// Bytes that all arrays of an archive may take together.
constexpr size_t largestArchive = size_t(8) << 30;
constexpr std::string_view npyMagic = "\x93NUMPY";

template <typename T> T load(Bytes bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::string_view text(Bytes bytes) { return {reinterpret_cast<const char *>(bytes.data()), bytes.size()}; }

Status bad(const std::string &where, std::string_view what) {
  return error(StatusCode::invalidFile, "{}: {}", where, what);
}

/// The text between `key` and `end` in the Python dictionary of an .npy header; empty if it is not there.
std::string_view field(std::string_view header, std::string_view key, std::string_view begin, std::string_view end) {
  size_t at = header.find(key);
  size_t from = at == header.npos ? at : header.find(begin, at + key.size());
  if (from == header.npos)
    return {};
  from += begin.size();
  size_t to = header.find(end, from);
  return to == header.npos ? std::string_view() : header.substr(from, to - from);
}

Result<Array> parseNpy(Bytes bytes, const std::string &where) {
  if (bytes.size() < 10 || text(bytes.first(6)) != npyMagic)
    return bad(where, "not a NumPy array");
  bool wide = load<uint8_t>(bytes, 6) >= 2;
  size_t start = wide ? 12 : 10;
  if (bytes.size() < start)
    return bad(where, "the header is truncated");
  size_t length = wide ? load<uint32_t>(bytes, 8) : load<uint16_t>(bytes, 8);
  if (length > bytes.size() - start)
    return bad(where, "the header is truncated");
  std::string_view header = text(bytes.subspan(start, length));
  std::string_view code = field(header, "'descr'", "'", "'");
  auto type = std::find_if(std::begin(numpyTypes), std::end(numpyTypes), [&](auto &entry) { return entry.code == code; });
  if (type == std::end(numpyTypes))
    return error(StatusCode::unsupported, "{}: unsupported element type '{}'", where, code);
  if (field(header, "'fortran_order'", ":", ",").find("True") != std::string_view::npos)
    return error(StatusCode::unsupported, "{}: expected C order, found Fortran order", where);
  if (header.find("'shape'") == header.npos)
    return bad(where, "the header has no shape");
  Array array;
  array.dtype = type->dtype;
  std::string_view shape = field(header, "'shape'", "(", ")");
  while (!shape.empty()) {
    shape.remove_prefix(std::min(shape.find_first_not_of(", "), shape.size()));
    int64_t size = -1;
    auto [rest, failed] = std::from_chars(shape.data(), shape.data() + shape.size(), size);
    if (shape.empty())
      break;
    if (failed != std::errc() || size < 0)
      return bad(where, "malformed shape");
    array.shape.push_back(size);
    shape.remove_prefix(rest - shape.data());
  }
  Bytes data = bytes.subspan(start + length);
  CheckedSize expected = bytesFor(array.dtype, array.shape);
  if (!expected.valid() || expected.value() != data.size())
    return error(StatusCode::invalidFile, "{}: expected {} bytes of numbers, found {}", where,
                 expected.valid() ? std::to_string(expected.value()) : "more", data.size());
  array.bytes.assign(data.begin(), data.end());
  return array;
}

Result<std::vector<std::byte>> inflateMember(Bytes packed, size_t size, const std::string &where) {
  // Deflate packs at most about 1032:1; a larger claim is not worth an allocation.
  if (size / 1040 > packed.size())
    return bad(where, "the compressed size cannot hold the array");
  std::vector<std::byte> out(size);
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
    return error(StatusCode::internal, "{}: zlib does not start", where);
  stream.next_in = reinterpret_cast<Bytef *>(const_cast<std::byte *>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef *>(out.data());
  stream.avail_out = static_cast<uInt>(size);
  int code = inflate(&stream, Z_FINISH);
  bool whole = code == Z_STREAM_END && stream.total_out == size;
  inflateEnd(&stream);
  if (!whole)
    return bad(where, "corrupt compressed data");
  return out;
}

/// One member by its entry at `at` of the central directory; moves `at` to the next entry.
Result<Array> parseMember(Bytes file, size_t &at, const std::string &path) {
  if (at + 46 > file.size() || load<uint32_t>(file, at) != 0x02014b50)
    return bad(path, "corrupt zip directory");
  uint16_t method = load<uint16_t>(file, at + 10);
  uint32_t crc = load<uint32_t>(file, at + 16), packed = load<uint32_t>(file, at + 20), size = load<uint32_t>(file, at + 24);
  size_t nameLength = load<uint16_t>(file, at + 28), local = load<uint32_t>(file, at + 42);
  size_t next = at + 46 + nameLength + load<uint16_t>(file, at + 30) + load<uint16_t>(file, at + 32);
  if (next > file.size())
    return bad(path, "corrupt zip directory");
  std::string name(text(file.subspan(at + 46, nameLength)));
  std::string where = path + ": " + name;
  if (packed == UINT32_MAX || size == UINT32_MAX || local == UINT32_MAX)
    return error(StatusCode::unsupported, "{}: arrays of 4 GiB and more are not supported", where);
  if (local + 30 > file.size() || load<uint32_t>(file, local) != 0x04034b50)
    return bad(where, "corrupt zip member");
  size_t data = local + 30 + load<uint16_t>(file, local + 26) + load<uint16_t>(file, local + 28);
  if (data > file.size() || packed > file.size() - data)
    return bad(where, "truncated");
  Bytes bytes = file.subspan(data, packed);
  std::vector<std::byte> inflated;
  if (method == 8) {
    TRANSOM_ASSIGN(inflated, inflateMember(bytes, size, where));
    bytes = inflated;
  } else if (method != 0) {
    return error(StatusCode::unsupported, "{}: unsupported zip compression method {}", where, method);
  }
  if (crc32_z(0, reinterpret_cast<const Bytef *>(bytes.data()), bytes.size()) != crc)
    return bad(where, "checksum differs");
  TRANSOM_ASSIGN(Array array, parseNpy(bytes, where));
  array.name = name.ends_with(".npy") ? name.substr(0, name.size() - 4) : name;
  at = next;
  return array;
}

Result<std::vector<Array>> parseZip(Bytes file, const std::string &path) {
  // The end record is the last thing in the file, but for a comment of at most 65,535 bytes.
  constexpr std::string_view endMagic = "PK\x05\x06";
  size_t end = text(file).rfind(endMagic);
  if (end == std::string_view::npos || end + 22 > file.size())
    return bad(path, "neither an .npy nor an .npz file");
  size_t count = load<uint16_t>(file, end + 10), at = load<uint32_t>(file, end + 16);
  std::vector<Array> arrays;
  size_t total = 0;
  for (size_t i = 0; i < count; ++i) {
    TRANSOM_ASSIGN(Array array, parseMember(file, at, path));
    // Members may be compressed and may even share their bytes: a small file must not become a huge one.
    total += array.bytes.size();
    if (total > largestArchive)
      return error(StatusCode::unsupported, "{}: its arrays take more than {} bytes", path, largestArchive);
    arrays.push_back(std::move(array));
  }
  return arrays;
}

/// NumPy's name of a type; nothing where it has none, as for bf16 and quantised blocks.
std::optional<std::string_view> numpyCode(DType dtype) {
  for (const NumpyType &type : numpyTypes)
    if (type.dtype == dtype)
      return type.code;
  return std::nullopt;
}

std::string npyHeader(const Array &array) {
  std::string shape;
  for (int64_t size : array.shape)
    shape += std::to_string(size) + ",";
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}",
                                   *numpyCode(array.dtype), shape);
  header.resize((header.size() + 10 + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  std::string out(npyMagic);
  out += std::string("\x01\x00", 2);
  out += {static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)};
  return out + header;
}

void put(std::string &out, std::initializer_list<std::pair<int, uint32_t>> fields) {
  for (auto [bytes, value] : fields)
    for (int i = 0; i < bytes; ++i)
      out += static_cast<char>(value >> (8 * i));
}

} // namespace

Result<std::vector<Array>> readNumpy(const std::string &path) {
  TRANSOM_ASSIGN(MappedFile file, MappedFile::open(path));
  if (file.bytes().size() < 6 || text(file.bytes().first(6)) != npyMagic)
    return parseZip(file.bytes(), path);
  TRANSOM_ASSIGN(Array array, parseNpy(file.bytes(), path));
  std::vector<Array> arrays;
  arrays.push_back(std::move(array));
  return arrays;
}

Status writeNumpy(const std::string &path, std::span<const Array> arrays) {
  bool zip = path.ends_with(".npz");
  if (!zip && (!path.ends_with(".npy") || arrays.size() != 1))
    return error(StatusCode::invalidArgument, "{}: expected an .npz file{}", path, arrays.size() == 1 ? " or an .npy file" : "");
  for (const Array &array : arrays)
    if (!numpyCode(array.dtype))
      return error(StatusCode::unsupported, "{}: NumPy has no element type for {} {}", path, name(array.dtype), array.name);
  TRANSOM_ASSIGN(AtomicFileWriter writer, AtomicFileWriter::create(path));
  auto write = [&](std::string_view bytes) { return writer.write(std::as_bytes(std::span(bytes))); };
  std::string directory;
  for (const Array &array : arrays) {
    std::string header = npyHeader(array), name = array.name + ".npy";
    if (zip) {
      size_t size = header.size() + array.bytes.size();
      if (writer.position() + size >= UINT32_MAX)
        return error(StatusCode::unsupported, "{}: .npz files of 4 GiB and more are not supported", path);
      auto crc = crc32_z(0, reinterpret_cast<const Bytef *>(header.data()), header.size());
      if (!array.bytes.empty()) // a null pointer would begin anew
        crc = crc32_z(crc, reinterpret_cast<const Bytef *>(array.bytes.data()), array.bytes.size());
      auto bytes = static_cast<uint32_t>(size), checksum = static_cast<uint32_t>(crc);
      auto nameLength = static_cast<uint32_t>(name.size()), offset = static_cast<uint32_t>(writer.position());
      // Date 1980-01-01, the earliest there is: equal tensors make equal files.
      std::string local;
      put(local, {{4, 0x04034b50}, {2, 20}, {2, 0}, {2, 0}, {2, 0}, {2, 0x21}, {4, checksum}, {4, bytes}, {4, bytes}, {2, nameLength}, {2, 0}});
      put(directory, {{4, 0x02014b50}, {2, 20}, {2, 20}, {2, 0}, {2, 0}, {2, 0}, {2, 0x21}, {4, checksum}, {4, bytes}, {4, bytes},
                      {2, nameLength}, {2, 0}, {2, 0}, {2, 0}, {2, 0}, {4, 0}, {4, offset}});
      directory += name;
      TRANSOM_RETURN_IF_ERROR(write(local + name));
    }
    TRANSOM_RETURN_IF_ERROR(write(header));
    TRANSOM_RETURN_IF_ERROR(writer.write(array.bytes));
  }
  if (zip) {
    auto count = static_cast<uint32_t>(arrays.size()), start = static_cast<uint32_t>(writer.position());
    put(directory, {{4, 0x06054b50}, {2, 0}, {2, 0}, {2, count}, {2, count}, {4, static_cast<uint32_t>(directory.size())}, {4, start}, {2, 0}});
    TRANSOM_RETURN_IF_ERROR(write(directory));
  }
  return writer.commit();
}

Result<std::vector<Array>> readNamedArrays(const std::vector<std::string> &files) {
  std::vector<Array> inputs;
  for (const std::string &text : files) {
    size_t equals = text.find('=');
    TRANSOM_ASSIGN(std::vector<Array> arrays, readNumpy(equals == text.npos ? text : text.substr(equals + 1)));
    if (equals != text.npos) {
      if (arrays.size() != 1)
        return error(StatusCode::invalidArgument, "{}: expected one array, found {}", text, arrays.size());
      arrays[0].name = text.substr(0, equals);
    }
    for (Array &array : arrays) {
      if (array.name.empty())
        return error(StatusCode::invalidArgument, "{}: an .npy file has no name; write name={}", text, text);
      inputs.push_back(std::move(array));
    }
  }
  return inputs;
}

} // namespace transom
