// Readers of safetensors files and of Hugging Face folders that hold one file or several shards with an
// index. The format: an 8-byte header length, a JSON header, then the tensors' bytes without holes.
#pragma once

#include "compiler/import/files/TensorSource.h"

namespace transom {

/// The tensors of one file. Errors: notFound, io, invalidFile, unsupported; all name the file.
Result<TensorSource> openSafetensors(const std::string &path);
/// The same over bytes that outlive the result; `path` is for messages.
Result<TensorSource> parseSafetensors(std::span<const std::byte> bytes, const std::string &path);

/// The tensors of a model folder: model.safetensors, or the shards that model.safetensors.index.json names.
/// Shard names must be plain file names; symbolic links are followed, as download caches consist of them.
Result<TensorSource> openSafetensorsFolder(const std::string &folder);
/// The tensors that an index file's text maps to shards of `folder`.
Result<TensorSource> openSafetensorsIndex(std::string_view index, const std::string &indexPath,
                                          const std::string &folder);

} // namespace transom
